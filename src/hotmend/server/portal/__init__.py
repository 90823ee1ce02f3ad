"""The portal: HTML drawn on the server, for people in a browser. One page, one file.

What is changed from here is changed by the API itself (``api``), as the person who is logged in:
there is no second way, and no second table of who may do what.
"""
