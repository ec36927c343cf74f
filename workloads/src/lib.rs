//! Collectives, transports, external programs and the experiment runner
