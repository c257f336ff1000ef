#pragma once

/// @file
/// Keeping every processor busy, and working at several things at once.

#include <functional>
#include <sys/types.h>
#include <vector>

namespace course {

/// One process a processor that computes without end, for as long as the object lives; not longer than this
/// process.
class BusyProcessors {
public:
    BusyProcessors();
    ~BusyProcessors();
    BusyProcessors(const BusyProcessors&) = delete;
    BusyProcessors& operator=(const BusyProcessors&) = delete;

private:
    std::vector<pid_t> burners_;
};

unsigned processors();

/// Calls `work(0)` to `work(count - 1)`, `at_once` of them at a time; the first exception is passed on at the
/// end.
void at_once(unsigned at_once, std::size_t count, const std::function<void(std::size_t)>& work);

}  // namespace course
