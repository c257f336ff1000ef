// `./course bench`: builds the programs of common/bench, lets them take their turns in rounds, and hands what
// they found out to the report.

#include "bench_mechanisms.hpp"

#include "bench_report.hpp"
#include "build.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "files.hpp"
#include "interrupt.hpp"
#include "process.hpp"
#include "terminal.hpp"
#include "wine.hpp"
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sched.h>
#include <set>
#include <sstream>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace fs = std::filesystem;

namespace course {
namespace {

constexpr std::size_t KiB = 1024, MiB = 1024 * KiB;
// A stream from memory to memory, larger than any cache, compared with memcpy() between the same.
constexpr std::size_t stream_memory = 64 * MiB, stream_piece = MiB;

// ---- what is asked for ----

struct Comparison {
    std::string lab;
    std::vector<std::string> ids;
    std::vector<std::size_t> sizes;
    bool open_loop, stream;
    double usual_seconds;
};

Comparison comparison_named(const std::string& lab) {
    if (lab.empty())
        return {"",
                {"pipe", "named_pipe", "mailslot", "ring", "unix_socket", "tcp", "udp", "event", "semaphore",
                 "pipe_again", "floor_futex", "floor_spin", "floor_memcpy"},
                {64, KiB, 64 * KiB, MiB},
                true,
                false,
                120};
    const std::string number = lab.substr(0, lab.find('-'));
    if (number == "05" || number == "5" || lab == "shared-memory")
        return {"05",
                {"ring", "ring_again", "library_boost", "library_zeromq", "library_nng", "floor_futex",
                 "floor_spin", "floor_memcpy"},
                {64, 4 * KiB, MiB},
                false,
                true,
                60};
    if (number == "07" || number == "7" || lab == "sockets")
        return {"07",
                {"server", "server_1000", "server_again", "floor_epoll", "floor_epoll_1000"},
                {64, 4 * KiB, 64 * KiB},
                false,
                false,
                45};
    throw Failure(
        exit_code::usage,
        fmt::format(
            "there is no benchmark of '{}'. './course bench' measures every mechanism, './course bench 05' "
            "the ring of lab 05 beside libraries, './course bench 07' the server of lab 07 beside a bare "
            "one, "
            "'./course bench loop' the way from save to verdict",
            lab));
}

// --mechanism: these, and the floors and controls that say what they are worth.
std::vector<std::string> chosen(const Comparison& comparison, const std::vector<std::string>& asked) {
    if (asked.empty())
        return comparison.ids;
    std::vector<std::string> known, result;
    for (const std::string& id : comparison.ids)
        if (contender(id).of.empty() && contender(id).kind != Contender::floor)
            known.push_back(id);
    for (const std::string& id : asked)
        if (std::find(known.begin(), known.end(), id) == known.end())
            throw Failure(
                exit_code::usage,
                fmt::format("there is no mechanism '{}' in this benchmark; it has {}", id, joined(known)));
    for (const std::string& id : comparison.ids) {
        const Contender& each = contender(id);
        const std::string& wanted = each.of.empty() ? id : each.of;
        if (each.kind == Contender::floor || std::find(asked.begin(), asked.end(), wanted) != asked.end())
            result.push_back(id);
    }
    return result;
}

// Said before minutes of measuring, not after them.
void check_writable(const std::string& file) {
    if (file.empty())
        return;
    const fs::path folder = fs::path(file).has_parent_path() ? fs::path(file).parent_path() : fs::path(".");
    std::error_code error;
    if (fs::is_directory(file, error))
        throw Failure(exit_code::machine,
                      fmt::format("cannot write {}: it is a folder. Name a file in it", file));
    if (!fs::is_directory(folder, error))
        throw Failure(exit_code::machine,
                      fmt::format("cannot write {}: there is no folder {}. Make it first, or name another",
                                  file, folder.string()));
    if (::access(fs::exists(file, error) ? file.c_str() : folder.c_str(), W_OK) != 0)
        throw Failure(exit_code::machine,
                      fmt::format("cannot write {}: {}. Check who owns it and whether you may write there",
                                  file, std::strerror(errno)));
}

// ---- where it is measured ----

std::string core_of(int cpu) {
    std::ifstream core(fmt::format("/sys/devices/system/cpu/cpu{}/topology/core_cpus_list", cpu));
    std::string list;
    std::getline(core, list);
    return list.empty() ? std::to_string(cpu) : list;
}

// Two processors that we may use, if there are two: not the two halves of one core.
std::vector<int> processors_to_use() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) == -1)
        throw Failure(exit_code::machine,
                      fmt::format("cannot tell which processors may be used (sched_getaffinity): {}",
                                  std::strerror(errno)));
    std::vector<int> allowed;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &set))
            allowed.push_back(cpu);
    for (const int cpu : allowed)
        if (core_of(cpu) != core_of(allowed[0]))
            return {allowed[0], cpu};
    allowed.resize(std::min<std::size_t>(allowed.size(), 2));
    return allowed;
}

std::string processor_name() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);)
        if (line.rfind("model name", 0) == 0)
            return line.substr(std::min(line.size(), line.find(':') + 2));
    return "unknown processor";
}

std::string kernel_name() {
    utsname name{};
    ::uname(&name);
    return fmt::format("{} {}", name.sysname, name.release);
}

double own_seconds() {
    double sum = 0;
    for (const int whose : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
        rusage used{};
        ::getrusage(whose, &used);
        for (const timeval& time : {used.ru_utime, used.ru_stime})
            sum += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    }
    return sum;
}

// How much of the processors' time went to programs that are not ours: what else disturbs a measurement.
class Disturbance {
public:
    explicit Disturbance(std::vector<int> cpus)
        : cpus_(std::move(cpus)), busy_(busy_seconds()), own_(own_seconds()) {}
    /// @param seconds  since the beginning
    double share(double seconds) const {
        const double others = busy_seconds() - busy_ - (own_seconds() - own_);
        return seconds > 0 ? std::clamp(others / seconds / static_cast<double>(cpus_.size()), 0.0, 1.0) : 0;
    }

private:
    // /proc/stat, a line a processor: user nice system idle iowait irq softirq steal, in clock ticks.
    double busy_seconds() const {
        std::ifstream stat("/proc/stat");
        double ticks = 0;
        for (std::string line; std::getline(stat, line);)
            for (const int cpu : cpus_) {
                const std::string name = fmt::format("cpu{} ", cpu);
                if (line.rfind(name, 0) != 0)
                    continue;
                std::istringstream numbers(line.substr(name.size()));
                double number = 0;
                for (int column = 0; column < 8 && numbers >> number; ++column)
                    ticks += column == 3 || column == 4 ? 0 : number;
            }
        return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
    }

    std::vector<int> cpus_;
    double busy_, own_;
};

// ---- building ----

std::string preset_for(Track track) {
    return track == Track::posix ? "linux-bench" : "windows-wine-bench";
}

class Programs {
public:
    Programs(const Repository& repository, Track track, bool mine)
        : repository_(repository), track_(track), mine_(mine) {}

    // What it is called in bench-programs.txt and under bin/bench.
    std::string name(const Contender& contender) const {
        const std::string& program = contender.of.empty() ? contender.id : contender.of;
        if (contender.lab.empty())
            return program;
        return (mine_ ? "mine/" : "solution/") + program;
    }
    std::string file(const Contender& contender) const {
        return (repository_ / build_of(preset_for(track_)) / "bin/bench" / name(contender)).string() +
               (track_ == Track::win32 ? ".exe" : "");
    }

    /// Takes from `result.measured` what can not be measured, and says why. @return whether a file did not
    /// compile
    bool build(BenchResult& result) {
        const std::string preset = preset_for(track_);
        configure(repository_, preset);
        std::set<std::string> known = buildable();
        const bool something_missing =
            std::any_of(result.measured.begin(), result.measured.end(),
                        [&](const std::string& id) { return !known.contains(name(contender(id))); });
        if (something_missing) {
            // Somebody may have installed a library, or written a lab, since the folder was made.
            const PassingLine line("looking what can be built …");
            run({{"cmake", "--preset", preset}, repository_.root, std::chrono::minutes(5), {}});
            known = buildable();
        }
        std::vector<std::string> targets;
        for (const std::string& id : result.measured)
            if (known.contains(name(contender(id))))
                targets.push_back(target(contender(id)));
        std::sort(targets.begin(), targets.end());
        targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
        std::optional<std::string> failed;
        {
            const PassingLine line(fmt::format("building build/{} …", preset));
            if (!targets.empty())
                failed = course::build(repository_, preset, targets, true);
        }
        const std::vector<std::string> broken = failed ? failed_targets(*failed) : std::vector<std::string>();
        if (failed)
            fmt::print(stderr, "{}", first_errors(*failed, repository_.root, 6));
        bool compiles = true;
        std::erase_if(result.measured, [&](const std::string& id) {
            const Contender& each = contender(id);
            std::string why;
            if (!known.contains(name(each))) {
                why = why_unknown(each);
            } else if (std::find(broken.begin(), broken.end(), target(each)) != broken.end() ||
                       !fs::exists(file(each))) {
                why = "does not compile";
                compiles = false;
            }
            if (!why.empty() && each.kind != Contender::again &&
                !(each.kind == Contender::floor && each.posix_only && track_ == Track::win32))
                result.left_out.emplace_back(each.title, why);
            return !why.empty();
        });
        return compiles;
    }

private:
    std::string target(const Contender& contender) const {
        std::string target = "bench-" + name(contender);
        std::replace(target.begin(), target.end(), '/', '-');
        return target;
    }
    std::set<std::string> buildable() const {
        std::ifstream list(repository_ / build_of(preset_for(track_)) / "bench-programs.txt");
        std::set<std::string> names;
        for (std::string line; std::getline(list, line);)
            names.insert(line);
        return names;
    }
    std::string why_unknown(const Contender& contender) const {
        if (!contender.package.empty() && track_ == Track::posix)
            return fmt::format("not installed; Debian's package is {}", contender.package);
        if (track_ == Track::win32 && (contender.posix_only || contender.kind == Contender::library))
            return "not measured on this track";
        return fmt::format("{}/{}/{}.cpp is not there", mine_ ? "labs" : "solutions", contender.lab,
                           name_of(track_));
    }

    const Repository& repository_;
    Track track_;
    bool mine_;
};

// ---- measuring ----

// A folder of this run's own, and all names that its programs give to things. Nothing of it stays.
class Scratch {
public:
    Scratch() : name_(fmt::format("ipc-bench-{}", ::getpid())) {
        const char* where = std::getenv("TMPDIR");
        std::string folder = fmt::format("{}/ipc-bench-XXXXXX", where && *where ? where : "/tmp");
        if (!::mkdtemp(folder.data()))
            throw Failure(
                exit_code::machine,
                fmt::format(
                    "cannot make a folder {}: {}. Set TMPDIR to one where you may write, and that has room",
                    folder, std::strerror(errno)));
        folder_ = folder;
    }
    ~Scratch() {
        empty();
        std::error_code error;
        fs::remove_all(folder_, error);
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    const fs::path& folder() const { return folder_; }
    const std::string& name() const { return name_; }
    /// Removes what a program has left, also one that was killed.
    void empty() const {
        std::error_code error;
        for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error))
            fs::remove_all(entry.path(), error);
        for (const fs::directory_entry& entry : fs::directory_iterator("/dev/shm", error))
            if (entry.path().filename().string().rfind(name_, 0) == 0)
                fs::remove(entry.path(), error);
    }

private:
    std::string name_;
    fs::path folder_;
};

struct Slot {
    std::string id;
    BenchMode mode;
    std::size_t size;
    Placement placement;
};

// One round: what is compared with each other stands side by side.
std::vector<Slot> plan_of(const Comparison& comparison, const BenchResult& result) {
    std::vector<Slot> slots;
    const auto add = [&](BenchMode mode, std::size_t size, Placement placement) {
        const bool answers = mode == BenchMode::closed_loop || mode == BenchMode::open_loop;
        for (const std::string& id : result.measured) {
            const Contender& each = contender(id);
            if (size > (answers ? each.largest_answer : each.largest_message) ||
                (each.needs_two && placement == Placement::one))
                continue;
            if (mode == BenchMode::stream && id != "ring" && id != "floor_memcpy")
                continue;
            if (id == "floor_memcpy" && placement == Placement::one && result.placements.size() > 1)
                continue;  // one process: the same thing
            slots.push_back({id, mode, size, placement});
        }
    };
    for (const Placement placement : result.placements) {
        for (const std::size_t size : comparison.sizes)
            add(BenchMode::closed_loop, size, placement);
        if (comparison.open_loop)
            add(BenchMode::open_loop, comparison.sizes[0], placement);
        for (const std::size_t size : comparison.sizes)
            add(BenchMode::throughput, size, placement);
    }
    if (comparison.stream && result.placements[0] == Placement::two)
        add(BenchMode::stream, stream_piece, Placement::two);
    return slots;
}

class Runner {
public:
    Runner(const Repository& repository, const Programs& programs, BenchResult& result)
        : repository_(repository), programs_(programs), result_(result) {}

    void measure(const Slot& slot) {
        try {
            std::vector<std::string> more;
            if (slot.mode == BenchMode::stream)
                more = {"--memory", std::to_string(stream_memory)};
            start(slot, more);
            add_reports(result_.cells[{slot.id, slot.mode, slot.size, slot.placement}], slot.mode,
                        report("client.json"), report("server.json"));
        } catch (const Interrupted&) {
            throw;
        } catch (const std::exception& error) {
            give_up(slot, error.what());
        }
        scratch_.empty();
    }

    /// The most memory that each side had while so much went through.
    void measure_memory(const std::string& id, std::uint64_t bytes) {
        try {
            start({id, BenchMode::stream, 64 * KiB, result_.placements[0]},
                  {"--bytes", std::to_string(bytes)});
            const auto client = nlohmann::json::parse(report("client.json")),
                       server = nlohmann::json::parse(report("server.json"));
            result_.memory.push_back({bytes, client.value("peak_memory_kib", 0.0),
                                      server.value("peak_memory_kib", 0.0),
                                      server.value("segment_bytes", 0.0) / 1024});
        } catch (const Interrupted&) {
            throw;
        } catch (const std::exception& error) {
            give_up({id, BenchMode::stream, 64 * KiB, result_.placements[0]}, error.what());
        }
        scratch_.empty();
    }

    bool given_up(const std::string& id) const { return given_up_.contains(id); }

private:
    std::string report(const char* file) const {
        const auto text = read_file(scratch_.folder() / file);
        if (!text)
            throw std::runtime_error("it ended without a report");
        return *text;
    }

    void start(const Slot& slot, const std::vector<std::string>& more) {
        const bool answers = slot.mode == BenchMode::closed_loop || slot.mode == BenchMode::open_loop;
        const int server_cpu = slot.placement == Placement::two ? result_.cpus[1] : result_.cpus[0];
        Command command;
        if (result_.track == Track::win32)
            command.arguments.push_back((repository_ / "common/wine-run").string());
        command.arguments.insert(
            command.arguments.end(),
            {programs_.file(contender(slot.id)), "--mode",
             !answers                            ? "throughput"
             : slot.mode == BenchMode::open_loop ? "open-loop"
                                                 : "closed-loop",
             "--size", std::to_string(slot.size), "--seconds", std::to_string(result_.seconds_each), "--rate",
             std::to_string(result_.rate), "--name", scratch_.name(), "--folder", ".", "--client-cpu",
             std::to_string(result_.cpus[0]), "--server-cpu", std::to_string(server_cpu)});
        for (const std::vector<std::string>* options : {&contender(slot.id).options, &more})
            command.arguments.insert(command.arguments.end(), options->begin(), options->end());
        command.directory = scratch_.folder();
        command.limit = std::chrono::milliseconds(static_cast<long>(result_.seconds_each * 3000) + 15'000);
        const Outcome outcome = run(command);
        if (outcome.over_limit)
            throw std::runtime_error(
                fmt::format("did not come to an end within {:.0f} s", command.limit.count() / 1000.0));
        if (outcome.code != 0)
            throw std::runtime_error(outcome.errors.empty() ? fmt::format("ended with code {}", outcome.code)
                                                            : first_line(outcome.errors));
    }

    static std::string first_line(const std::string& text) {
        return visible(text.substr(0, text.find('\n')));
    }

    // The others go on. What has been measured of it so far would be of fewer rounds, so it goes as a whole.
    void give_up(const Slot& slot, const std::string& why) {
        const Contender& each = contender(slot.id);
        given_up_.insert(slot.id);
        std::erase_if(result_.cells, [&](const auto& entry) { return entry.first.id == slot.id; });
        std::erase(result_.measured, slot.id);
        if (each.kind == Contender::again)
            return;  // it is the same program
        const bool unwritten = why.rfind("not implemented yet", 0) == 0;
        result_.left_out.emplace_back(each.title,
                                      unwritten ? why
                                                : fmt::format("{} ({}, {}, {})", why, name_of(slot.mode),
                                                              size_text(slot.size), name_of(slot.placement)));
    }

    const Repository& repository_;
    const Programs& programs_;
    BenchResult& result_;
    Scratch scratch_;
    std::set<std::string> given_up_;
};

void measure_all(Runner& runner, const Comparison& comparison, BenchResult& result) {
    std::vector<Slot> slots = plan_of(comparison, result);
    const Disturbance disturbance(result.cpus);
    const auto start = std::chrono::steady_clock::now();
    const auto seconds_since = [&] {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    const std::size_t turns = slots.size() * static_cast<std::size_t>(result.rounds);
    std::size_t done = 0;
    for (int round = 0; round < result.rounds; ++round) {
        // Each round begins somewhere else, so that nobody always follows the same neighbour's heat.
        if (!slots.empty())
            std::rotate(slots.begin(),
                        slots.begin() + static_cast<std::ptrdiff_t>(slots.size() / 3 % slots.size()),
                        slots.end());
        for (const Slot& slot : slots) {
            ++done;
            if (runner.given_up(slot.id))
                continue;
            const double left = done > 3 ? seconds_since() / static_cast<double>(done - 1) *
                                               static_cast<double>(turns - done + 1)
                                         : 0;
            const PassingLine line(fmt::format(
                "\x1b[Kround {} of {} · {:.0f} %{} · {} · {} · {} · {}", round + 1, result.rounds,
                100.0 * static_cast<double>(done) / static_cast<double>(turns),
                left > 0 ? fmt::format(" · about {:.0f} s left", left) : "", contender(slot.id).title,
                name_of(slot.mode), size_text(slot.size), name_of(slot.placement)));
            runner.measure(slot);
        }
    }
    const bool has_ring =
        std::find(result.measured.begin(), result.measured.end(), "ring") != result.measured.end();
    if (comparison.stream && has_ring)
        for (const std::uint64_t bytes : {64 * MiB, (result.smoke ? 128 : 1024) * MiB}) {
            const PassingLine line(fmt::format("memory while {} go through the ring …", size_text(bytes)));
            if (!runner.given_up("ring"))
                runner.measure_memory("ring", bytes);
        }
    result.seconds_taken = seconds_since();
    if (result.track == Track::posix)  // Wine's server works for us and is not ours
        result.others_share = disturbance.share(result.seconds_taken);
}

// The time that is there, shared among all turns. Starting and ending the two processes takes some of it.
double seconds_for_each(const BenchMechanismsOptions& options, const Comparison& comparison,
                        const BenchResult& result) {
    if (options.smoke)
        return 0.01;
    const double total = options.seconds > 0 ? options.seconds : comparison.usual_seconds;
    const double start_up = result.track == Track::win32 ? 0.15 : 0.02, warm_up = 1.25;
    const auto turns =
        static_cast<double>(std::max<std::size_t>(1, plan_of(comparison, result).size())) * result.rounds;
    return std::clamp((total / turns - start_up) / warm_up, 0.02, 10.0);
}

}  // namespace

int bench_mechanisms(const Repository& repository, const BenchMechanismsOptions& options) {
    const Comparison comparison = comparison_named(options.lab);
    BenchResult result;
    result.title = comparison.lab;
    result.track = track_named(options.track);
    result.measured = chosen(comparison, options.mechanisms);
    result.mine = options.mine;
    result.smoke = options.smoke;
    for (const std::string& file : {options.json, options.html, options.svg})
        check_writable(file);
    if (!options.mine && !repository.has_solutions())
        throw Failure(exit_code::usage,
                      "the reference solutions are not here; './course bench --mine' measures your own");
    result.when = utc_now("%Y-%m-%d %H:%M UTC");
    result.processor = processor_name();
    result.kernel = kernel_name();
    result.cpus = processors_to_use();
    result.placements = {Placement::one};
    if (result.cpus.size() > 1)
        result.placements.insert(result.placements.begin(), Placement::two);
    result.rounds = options.smoke ? 1 : options.rounds;
    result.rate = options.rate;
    result.answer_sizes = result.message_sizes = comparison.sizes;

    // Libraries are optional, and some mechanisms are one system's alone; all others are expected to give a
    // result.
    std::vector<std::string> expected = result.measured;
    std::erase_if(expected, [&](const std::string& id) {
        const Contender& each = contender(id);
        return each.kind == Contender::library || (each.posix_only && result.track == Track::win32);
    });

    Programs programs(repository, result.track, options.mine);
    const bool compiles = programs.build(result);
    result.seconds_each = seconds_for_each(options, comparison, result);
    const WineFolders wine(result.track == Track::win32 ? 1 : 0);  // ends Wine's server when all is done
    {
        Runner runner(repository, programs, result);
        measure_all(runner, comparison, result);
    }
    fmt::print("{}", bench_text(result, style_for(STDOUT_FILENO)));
    std::fflush(stdout);
    if (!options.json.empty())
        write_file(options.json, bench_json(result));
    if (!options.svg.empty())
        write_file(options.svg, bench_svg(result));
    if (!options.html.empty())
        write_file(options.html, bench_html(result));
    if (!compiles && options.mine)
        return exit_code::does_not_compile;
    const bool complete = std::all_of(expected.begin(), expected.end(), [&](const std::string& id) {
        return std::find(result.measured.begin(), result.measured.end(), id) != result.measured.end();
    });
    return compiles && complete ? exit_code::full_marks : exit_code::points_missing;
}

}  // namespace course
