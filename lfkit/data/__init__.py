"""How data that people and programs wrote is read: class names, tables, arrays."""
