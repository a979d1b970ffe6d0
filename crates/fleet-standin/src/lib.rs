//! fleet-standin
