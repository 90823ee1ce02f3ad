"""The publisher's bench: packages, change sets, advisories and proofs become a .hotpatch."""
