//! The result schema, statistics, tables and charts
