"""Resource Graph: questions in a part of the Kusto query language, answered from rows."""
