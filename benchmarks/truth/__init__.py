"""What the differ should answer, from sources: libxml2 built again with symbols."""
