#include "stage_state.hpp"

#include <algorithm>

namespace judge {

namespace {
constexpr std::size_t most_output = 128 << 20;  ///< of one stream that is kept; the longest that a case asks for is 64 MiB
}

// ---- the threads that move bytes -------------------------------------------------------------------------------------

void Subject::State::begin(Reader& reader, Stream stream, bool held) {
    reader.stream = std::move(stream);
    reader.held = held;
    reader.thread = std::thread([this, &reader] {
        {
            std::unique_lock lock(mutex);
            changed.wait(lock, [&] { return !reader.held || reader.stop; });
        }
        std::vector<char> buffer(64 * 1024);
        for (;;) {
            const std::size_t count = reader.stream.read(buffer.data(), buffer.size());
            const std::lock_guard lock(mutex);
            if (count == 0 || reader.stop)
                break;
            // Beyond that it is read and dropped: a flood shall fill no memory.
            reader.bytes.append(buffer.data(), std::min(count, most_output - reader.bytes.size()));
            changed.notify_all();
        }
        const std::lock_guard lock(mutex);
        reader.ended = true;
        changed.notify_all();
    });
}

void Subject::State::begin_feeding(Stream stream) {
    input = std::move(stream);
    input_closed = false;
    feeder = std::thread([this] {
        std::unique_lock lock(mutex);
        for (;;) {
            changed.wait(lock, [&] { return stop_feeding || input_closed || fed < to_feed.size(); });
            if (stop_feeding)
                break;
            if (fed == to_feed.size()) {
                if (input_closed)
                    break;
                continue;
            }
            const std::string part = to_feed.substr(fed, 64 * 1024);
            lock.unlock();
            const std::size_t count = input.write(part.data(), part.size());
            lock.lock();
            if (count == 0) {
                refused = !stop_feeding;
                break;
            }
            fed += count;
            changed.notify_all();
        }
        input.close();
        changed.notify_all();
    });
}

void Subject::State::release() {
    const std::lock_guard lock(mutex);
    output.held = errors.held = false;
    changed.notify_all();
}

bool Subject::State::has_spoken() {
    const std::lock_guard lock(mutex);
    return !errors.bytes.empty();
}

void Subject::State::shut_down() {
    if (over)
        return;
    over = true;
    process.end_tree();
    {
        const std::lock_guard lock(mutex);
        stop_feeding = output.stop = errors.stop = true;
        changed.notify_all();
    }
    input.abort();
    output.stream.abort();
    errors.stream.abort();
    for (std::thread* thread : {&feeder, &output.thread, &errors.thread})
        if (thread->joinable())
            thread->join();
}

Subject::State::~State() { shut_down(); }

// ---- the subject -----------------------------------------------------------------------------------------------------

Subject::Subject(std::shared_ptr<State> state) : state_(std::move(state)) {}
Subject::Subject(Subject&&) noexcept = default;
Subject::~Subject() = default;

Process& Subject::process() { return state_->process; }
std::string Subject::command() const { return state_->command; }

void Subject::feed(std::string bytes) {
    const std::lock_guard lock(state_->mutex);
    state_->to_feed += bytes;
    state_->changed.notify_all();
}

void Subject::close_input() {
    const std::lock_guard lock(state_->mutex);
    state_->input_closed = true;
    state_->changed.notify_all();
}

std::size_t Subject::fed() const {
    const std::lock_guard lock(state_->mutex);
    return state_->fed;
}

bool Subject::input_refused() const {
    const std::lock_guard lock(state_->mutex);
    return state_->refused;
}

namespace {

// Waits for `fine` under the subject's lock, as an attempt for Stage::await.
auto until(Subject::State& state, std::function<bool()> fine) {
    return [&state, fine = std::move(fine)](Deadline deadline) {
        std::unique_lock lock(state.mutex);
        return state.changed.wait_until(lock, deadline.at(), fine);
    };
}

}  // namespace

std::string Subject::line(const Mistake& otherwise) {
    state_->release();
    Stage stage(state_->stage);
    std::string found;
    bool ended = false;
    stage.await(until(*state_, [&] {
        const std::string& bytes = state_->output.bytes;
        const auto end = bytes.find('\n', state_->line_start);
        if (end != std::string::npos) {
            found = bytes.substr(state_->line_start, end - state_->line_start);
            state_->line_start = end + 1;
            return true;
        }
        ended = state_->output.ended;
        return ended;
    }), "a line on standard output", otherwise);
    if (ended)
        stage.fail({"a line on standard output", "standard output ended after " + shown(state_->output.bytes), "", "", otherwise});
    if (!found.empty() && found.back() == '\r')
        found.pop_back();
    return found;
}

std::string Subject::ready(const Mistake& otherwise) {
    const std::string text = line(otherwise);
    Stage stage(state_->stage);
    stage.require(text == "ready" || text.starts_with("ready "), {"the line \"ready\"", shown(text), "", "", otherwise});
    return text.size() > 6 ? text.substr(6) : "";
}

std::string Subject::output_of(std::size_t count, const Mistake& otherwise) {
    state_->release();
    Stage stage(state_->stage);
    stage.await(until(*state_, [&] { return state_->output.ended || state_->output.bytes.size() >= count; }),
                std::to_string(count) + " bytes on standard output", otherwise);
    const std::lock_guard lock(state_->mutex);
    return state_->output.bytes;
}

const std::string& Subject::output(const Mistake& otherwise) {
    state_->release();
    Stage(state_->stage).await(until(*state_, [&] { return state_->output.ended; }),
                               "standard output comes to its end", otherwise);
    return state_->output.bytes;
}

std::string Subject::output_so_far() const {
    const std::lock_guard lock(state_->mutex);
    return state_->output.bytes;
}

const std::string& Subject::errors() {
    Stage(state_->stage).await(until(*state_, [&] { return state_->errors.ended; }), "standard error comes to its end", "");
    return state_->errors.bytes;
}

Ended Subject::ends(const Mistake& otherwise) {
    Stage(state_->stage).await([&](Deadline deadline) { return state_->process.wait(deadline); },
                               "lab program ends", otherwise);
    const Ended how = state_->process.ended();
    Stage(state_->stage).end_if_not_attempted();
    return how;
}

void Subject::exits(std::uint32_t code, const Mistake& otherwise) {
    const Ended how = ends(otherwise);
    Stage(state_->stage).require(how.how == Ended::How::exited && how.code == code,
                                 {"exit code " + std::to_string(code), how.text(), "", "", otherwise});
}

void Subject::fails(const Mistake& otherwise) {
    const Ended how = ends(otherwise);
    Stage(state_->stage).require(how.how == Ended::How::exited && how.code != 0,
                                 {"an exit code other than 0, and no crash", how.text(), "", "", otherwise});
}

void Subject::prints(std::string_view expected, const Mistake& otherwise) {
    const std::string& got = output(otherwise);
    Stage(state_->stage).require(got == expected, {"standard output is " + shown(expected), difference(got, expected), "", "", otherwise});
}

void Subject::complains(std::string_view about, const Mistake& otherwise) {
    const std::string& got = errors();
    Stage(state_->stage).require(got.find(about) != std::string::npos,
                                 {"standard error contains " + shown(about), got.empty() ? "nothing" : shown(got, 300), "", "", otherwise});
}

bool Subject::running() { return !state_->process.wait(Deadline::in(milliseconds(0))); }

namespace {

enum class Seen { waiting, waking, busy, ended };

// Watches who should be waiting until it is seen to wait, or not to; `why` then says how. On a busy machine who runs all the
// time gets little of it, or nothing for a while: up to ten looks are taken, a tenth of a second each.
Seen watch(Process& process, Failure& why) {
    const auto cpu_before = process.cpu_time();
    const auto wakeups_before = process.wakeups();
    auto cpu_last = cpu_before;
    bool wanted = false;
    for (int looks = 1; looks <= 10; ++looks) {
        if (process.wait(Deadline::in(milliseconds(100))))
            return Seen::ended;
        const std::string in = " in " + std::to_string(looks * 100) + " ms";
        const auto cpu_now = process.cpu_time();
        const auto used = std::chrono::duration_cast<milliseconds>(cpu_now - cpu_before).count();
        why = {"no processor is used while it waits", std::to_string(used) + " ms of processor time" + in, "", "", ""};
        if (used > 40 && used > looks * 10)  // a tenth of a processor: more than who does something now and then needs
            return Seen::busy;
        // The sum falls when somebody of the tree ends: that is no polling.
        const auto wakeups = process.wakeups();
        const auto times = wakeups && wakeups_before && *wakeups > *wakeups_before ? *wakeups - *wakeups_before : 0;
        why = {"it sleeps until there is something to do", "it woke up " + std::to_string(times) + " times" + in + " to look", "", "", ""};
        if (times > static_cast<std::uint64_t>(looks) * 8)
            return Seen::waking;
        wanted = process.wants_processor();
        // Wine does not tell who wants a processor, and counts what was used in ticks of 10 ms: there it has to be seen still.
        if (!wanted && ((wakeups && cpu_now == cpu_last) || !process.stillness().empty()))
            return Seen::waiting;
        cpu_last = cpu_now;
    }
    why = {"no processor is used while it waits", "it wanted one whenever one looked", "", "", ""};
    return wanted ? Seen::busy : Seen::waiting;  // not seen to wait, and not seen to run
}

}  // namespace

void Subject::idles(const Mistake& if_ended, const Mistake& if_busy) {
    Failure why;
    Seen seen = Seen::busy;
    // It may still be on its way to where it waits: that excuses it twice.
    for (int times = 0; times < 3 && (seen == Seen::busy || seen == Seen::waking); ++times)
        seen = watch(state_->process, why);
    Stage stage(state_->stage);
    if (seen == Seen::ended)
        stage.fail({"lab program waits", "it ended", "", "", if_ended});
    why.mistake = if_busy;
    stage.require(seen == Seen::waiting, why);
}

}  // namespace judge
