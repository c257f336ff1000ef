// common/ipc: owners, errors, clocks, arguments.

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/memory_kills.hpp"
#include "ipc/program.hpp"
#include "judge.hpp"
#include <sstream>
#ifdef _WIN32
#include "ipc/text.hpp"
#include <windows.h>
#else
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>
#endif

namespace {

struct counted_kind {
    using value_type = int;
    static value_type none() noexcept { return -1; }
    static inline std::vector<int> closed;
    static void close(value_type value) noexcept { closed.push_back(value); }
};
using counted = ipc::unique_resource<counted_kind>;

}  // namespace

TEST_CASE("kills for want of memory are counted as the kernel lists them, and other numbers are not taken for them") {
    std::istringstream listed("nr_free_pages 5121\noom_kill_disable 9\noom_kill 76\npswpin 0\n"), silent("nr_free_pages 5121\n"), nothing("");
    CHECK(ipc::kills_for_memory_in(listed) == 76);
    CHECK(ipc::kills_for_memory_in(silent) == 0);
    CHECK(ipc::kills_for_memory_in(nothing) == 0);
    CHECK(ipc::kills_for_memory() >= 0);
}

TEST_CASE("an owner closes what it owns exactly once") {
    counted_kind::closed.clear();
    {
        counted first(1);
        counted second = std::move(first);
        CHECK_FALSE(first);
        CHECK(second.get() == 1);
        second.reset(2);
        CHECK(counted_kind::closed == std::vector<int>{1});
        counted third(3);
        third = std::move(second);
        CHECK(counted_kind::closed == std::vector<int>{1, 3});
    }
    CHECK(counted_kind::closed == std::vector<int>{1, 3, 2});
}

TEST_CASE("an owner that released its handle closes nothing and survives assignment to itself") {
    counted_kind::closed.clear();
    {
        counted owner(7);
        counted& same = owner;
        owner = std::move(same);
        CHECK(owner.get() == 7);
        CHECK(owner.release() == 7);
    }
    CHECK(counted_kind::closed.empty());
}

TEST_CASE("0 is a handle like any other, none is not") {
    CHECK(counted(0));
    CHECK_FALSE(counted());
}

#ifdef _WIN32
TEST_CASE("a file and a handle have different nothings") {
    CHECK_FALSE(ipc::unique_file());
    CHECK(ipc::unique_file().get() == INVALID_HANDLE_VALUE);
    CHECK(ipc::unique_handle().get() == nullptr);
}

TEST_CASE("text crosses the border to UTF-16 and back") {
    const std::string text = "Gr\xc3\xbc\xc3\x9f" "e \xe7\xae\xa1\xe9\x81\x93 \xf0\x9f\x90\x8d";
    CHECK(ipc::to_utf8(ipc::to_wide(text)) == text);
    CHECK(ipc::to_wide("").empty());
    CHECK(ipc::to_wide(text).size() == 11);
}

TEST_CASE("bytes that are not UTF-8 are an error, not another text") {
    CHECK_THROWS_AS(ipc::to_wide("\xff\xfe"), std::system_error);
}
#else
TEST_CASE("a descriptor is really closed") {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    {
        const ipc::unique_file read_end(ends[0]), write_end(ends[1]);
    }
    CHECK(::fcntl(ends[0], F_GETFD) == -1);
    CHECK(::fcntl(ends[1], F_GETFD) == -1);
}
#endif

TEST_CASE("an error carries the call, what it was about, and the system's code") {
    try {
#ifdef _WIN32
        SetLastError(ERROR_PIPE_BUSY);
        ipc::throw_last_error("CreateFileW", "my_pipe");
#else
        errno = EPIPE;
        ipc::throw_last_error("CreateFileW", "my_pipe");
#endif
    } catch (const std::system_error& error) {
        CHECK(std::string(error.what()).starts_with("CreateFileW(my_pipe): "));
#ifdef _WIN32
        CHECK(error.code().value() == ERROR_PIPE_BUSY);
#else
        CHECK(error.code() == std::errc::broken_pipe);
#endif
        return;
    }
    FAIL("nothing was thrown");
}

TEST_CASE("check lets a result pass and turns -1 into an error") {
    CHECK(ipc::check(0, "open") == 0);
    CHECK_THROWS_AS(ipc::check(-1, "open"), std::system_error);
}

TEST_CASE("a deadline counts down, and for ever never expires") {
    CHECK(ipc::Deadline().poll_ms() == -1);
    CHECK(ipc::Deadline().wait_ms() == 0xffffffffUL);
    CHECK_FALSE(ipc::Deadline::in_ms(-1).bounded());
    CHECK(ipc::Deadline::in_ms(0).expired());
    CHECK(ipc::Deadline::in_ms(0).poll_ms() == 0);
    const ipc::Deadline soon = ipc::Deadline::in_ms(100'000);
    CHECK_FALSE(soon.expired());
    CHECK(soon.poll_ms() > 90'000);
    CHECK(soon.poll_ms() <= 100'000);
}

TEST_CASE("a deadline longer than an int of milliseconds does not become a short one") {
    CHECK(ipc::Deadline::in_ms(100LL * 24 * 3600 * 1000).poll_ms() == 0x7fffffff);
}

TEST_CASE("what is not implemented names its function and file") {
    const std::string text = ipc::not_implemented().what();
    CHECK(text.starts_with("not implemented yet: "));
    CHECK(text.find("ipc_test.cpp:") != std::string::npos);
}
