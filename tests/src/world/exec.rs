//! A tiny executor: polls, and never waits. What runs on ports in memory is pending only where a tap says so.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

/// A future that can be polled step by step.
pub type Running<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One step: to the next pending point, or to the end.
pub fn step<T>(running: &mut Running<'_, T>) -> Poll<T> {
    running.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs until it is done or can go no further, which is `None`: then it is dropped, as by a crash.
pub fn run<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
