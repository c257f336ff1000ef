#pragma once

/// @file
/// Ctrl-C, noticed by whoever waits.

namespace course {

/// From now on SIGINT, SIGTERM and SIGHUP are remembered instead of ending the process.
void watch_for_interrupts();

/// Whether one has come.
bool interrupted() noexcept;

/// A descriptor for poll(2) that is readable from the first one on, for every thread.
int interrupt_descriptor() noexcept;

/// @throws Interrupted if one has come
void stop_if_interrupted();

}  // namespace course
