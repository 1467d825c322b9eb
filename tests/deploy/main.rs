//! What lies in deploy/.
