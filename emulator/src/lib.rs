//! Labs: namespaces, wiring, link engines, telemetry and fidelity
