"""Files that come in and go out: class names, tables, arrays; written whole."""
