//! EROFS on disk: write a metadata area, read it back; pure, no I/O.
