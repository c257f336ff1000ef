#include "bench_report.hpp"
namespace course {
std::string bench_svg(const BenchResult&) { return {}; }
std::string bench_html(const BenchResult&) { return {}; }
}  // namespace course
