#pragma once

/// @file
/// Many clients of one server, in one process: each sends a frame of lab 07, waits for as many bytes, and
/// sends the next.

#include "program.hpp"
#include <cstdint>
#include <functional>

namespace bench {

/// Starts the server, which says its port when it is ready, and keeps `setting.clients` connections to it
/// busy.
/// @param at_end  what ends the server, when all connections are closed
void many_clients(const Setting& setting,
                  const std::function<void(Server& server, std::uint16_t port)>& at_end);

}  // namespace bench
