//! Every path that we own on the host.
