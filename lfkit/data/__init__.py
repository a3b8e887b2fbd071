"""Files that come in and go out: written whole or not at all, with cells made safe."""
