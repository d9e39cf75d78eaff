//! The dashboards of `compose/`, asked of a running system with the configuration files of `compose/`: each of their
//! queries gives values, and they change while records come in. Runs where AZENHA_TEST_PROMETHEUS is the path of a
//! Prometheus; on Kafka where AZENHA_TEST_KAFKA has its brokers.

mod cdp;
mod clickstream;
mod queries;
mod started;
