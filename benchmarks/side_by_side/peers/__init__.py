"""One file a peer: its own way to do each case, as its documentation recommends, and balanced by hand where said."""
