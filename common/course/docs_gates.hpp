#pragma once

/// @file
/// The site's checks in `./course test`.

#include "lab_gates.hpp"

namespace course {

/// Builds both editions and reports: no warning, no broken link, nothing for instructors in the student's.
void check_docs(const TestRun& test_run);

}  // namespace course
