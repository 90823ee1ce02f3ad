"""What goes wrong with releases, as opposed to what is refused.

::

    ReleaseError
    ├── CatalogueError    a table or catalogue cannot be read, or contradicts itself
    └── RepositoryError   the repository cannot be read, written, or trusted
        └── NotReleased   it can, and has no such target
"""


class ReleaseError(Exception):
    """One sentence for people."""


class CatalogueError(ReleaseError):
    """A table or catalogue cannot be read, or contradicts itself."""


class RepositoryError(ReleaseError):
    """The repository cannot be read, written, or trusted."""


class NotReleased(RepositoryError):
    """The repository is well, and has no such target."""
