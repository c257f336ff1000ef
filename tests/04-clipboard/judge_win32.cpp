// The judge as other programs at the clipboard of Windows, and what only the win32 track has: the lock, the promises that
// outlive their maker, the header of HTML.

#include "peers.hpp"

#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/text.hpp"
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <windows.h>

namespace peers {
namespace {

constexpr const char* html_format = "HTML Format";

UINT format_of(const std::string& type) {
    if (type == "text/plain")
        return CF_UNICODETEXT;
    const std::string name = type == "text/html" ? html_format : type == "image/png" ? "PNG" : type;
    const UINT format = RegisterClipboardFormatW(ipc::to_wide(name).c_str());
    if (!format)
        ipc::throw_last_error("RegisterClipboardFormat", name);
    return format;
}

std::string type_of(UINT format) {
    if (format == CF_UNICODETEXT || format == CF_TEXT || format == CF_OEMTEXT)
        return "text/plain";
    wchar_t name[256];
    if (!GetClipboardFormatNameW(format, name, 256))
        return format == CF_LOCALE ? "" : "format " + std::to_string(format);
    const std::string text = ipc::to_utf8(name);
    return text == html_format ? "text/html" : text == "PNG" ? "image/png" : text;
}

// HTML as another program may write it: offsets in another order and width, more around the fragment, a NUL behind.
std::string foreign_html(const std::string& fragment) {
    const std::string before = "<!DOCTYPE html><html><head><title>\u6f22</title></head><body><!--StartFragment-->", after = "<!--EndFragment--></body></html>";
    char header[300];
    auto write = [&](std::size_t start) {
        return static_cast<std::size_t>(std::snprintf(
            header, sizeof header, "Version:1.0\r\nEndFragment:%08zu\r\nStartFragment:%08zu\r\nEndHTML:%08zu\r\nStartHTML:%08zu\r\nSourceURL:https://example.org/\r\n",
            start + before.size() + fragment.size(), start + before.size(), start + before.size() + fragment.size() + after.size(), start));
    };
    write(write(0));
    return header + before + fragment + after + '\0';
}

std::string packed(const std::string& type, const std::string& data) {
    if (type == "text/plain") {
        std::wstring text = ipc::to_wide(data);
        text += L'\0';
        text += L"behind the end";  // a block may be larger than what it holds
        return {reinterpret_cast<const char*>(text.data()), text.size() * sizeof(wchar_t)};
    }
    return type == "text/html" ? foreign_html(data) : data;
}

HGLOBAL block_of(const std::string& bytes) {
    const HGLOBAL block = GlobalAlloc(GMEM_MOVEABLE, bytes.size());
    void* const memory = block ? GlobalLock(block) : nullptr;
    if (!memory)
        ipc::throw_last_error("GlobalAlloc", std::to_string(bytes.size()) + " bytes");
    std::memcpy(memory, bytes.data(), bytes.size());
    GlobalUnlock(block);
    return block;
}

HDESK desk_of_all_threads = nullptr;

// A thread of the judge that is a program at the clipboard. It may be blocked in somebody else's hands for good: then it is
// left behind, and what it works on must be its own.
class Thread {
public:
    explicit Thread(std::function<void()> work) {
        auto* const given = new std::function<void()>(std::move(work));
        handle_.reset(CreateThread(nullptr, 0, run, given, 0, &id_));
        if (!handle_)
            ipc::throw_last_error("CreateThread");
    }
    bool wait(Deadline deadline) const { return WaitForSingleObject(handle_.get(), deadline.wait_ms()) == WAIT_OBJECT_0; }
    DWORD id() const { return id_; }

private:
    static DWORD WINAPI run(void* given) {
        const std::unique_ptr<std::function<void()>> work(static_cast<std::function<void()>*>(given));
        if (desk_of_all_threads)
            SetThreadDesktop(desk_of_all_threads);
        try {
            (*work)();
        } catch (const std::exception& error) {
            std::fprintf(stderr, "judge: %s\n", error.what());
        }
        return 0;
    }
    ipc::unique_handle handle_;
    DWORD id_ = 0;
};

ipc::unique_handle event() { return ipc::unique_handle(CreateEventW(nullptr, TRUE, FALSE, nullptr)); }

// ---- a program that has copied --------------------------------------------------------------------------------------

class Program {
public:
    Program(std::vector<Item> items, Manner manner) : shared_(std::make_shared<Shared>()) {
        shared_->items = std::move(items);
        shared_->manner = manner;
        thread_ = std::make_unique<Thread>([shared = shared_] { live(*shared); });
    }
    ~Program() {
        shared_->stop_now = true;
        SetEvent(shared_->stop.get());
        do
            PostThreadMessageW(thread_->id(), WM_QUIT, 0, 0);
        while (!thread_->wait(Deadline::in(milliseconds(50))) && ++tries_ < 60);
    }
    bool has_copied(Deadline deadline) const { return WaitForSingleObject(shared_->copied.get(), deadline.wait_ms()) == WAIT_OBJECT_0; }
    bool is_asked(Deadline deadline) const { return WaitForSingleObject(shared_->asked.get(), deadline.wait_ms()) == WAIT_OBJECT_0; }
    void answer() { SetEvent(shared_->released.get()); }

private:
    struct Shared {
        std::vector<Item> items;
        Manner manner = Manner::answers;
        ipc::unique_handle copied = event(), asked = event(), released = event(), stop = event();
        std::atomic<bool> stop_now = false;
    };

    static void live(Shared& shared) {
        WNDCLASSW kind{};
        kind.lpszClassName = L"JudgeOfClipboards";
        kind.hInstance = GetModuleHandleW(nullptr);
        kind.lpfnWndProc = procedure;
        RegisterClassW(&kind);
        const HWND window = CreateWindowExW(0, kind.lpszClassName, nullptr, 0, 0, 0, 0, 0, HWND_MESSAGE, nullptr, kind.hInstance, nullptr);
        if (!window)
            ipc::throw_last_error("CreateWindowEx");
        SetWindowLongPtrW(window, GWLP_USERDATA, reinterpret_cast<LONG_PTR>(&shared));
        while (!OpenClipboard(window)) {
            if (shared.stop_now)
                return;
            Sleep(5);  // nobody is told when it is closed
        }
        EmptyClipboard();
        for (const Item& item : shared.items)
            SetClipboardData(format_of(item.type), shared.manner == Manner::answers ? block_of(packed(item.type, item.bytes)) : nullptr);
        CloseClipboard();
        SetEvent(shared.copied.get());
        MSG message;
        while (!shared.stop_now && GetMessageW(&message, nullptr, 0, 0) > 0)
            DispatchMessageW(&message);
        DestroyWindow(window);
    }

    static LRESULT CALLBACK procedure(HWND window, UINT message, WPARAM parameter, LPARAM other) {
        auto* const shared = reinterpret_cast<Shared*>(GetWindowLongPtrW(window, GWLP_USERDATA));
        if (message != WM_RENDERFORMAT || shared->stop_now)
            return DefWindowProcW(window, message, parameter, other);
        SetEvent(shared->asked.get());
        if (shared->manner == Manner::dies)
            ExitThread(0);
        const HANDLE either[2] = {shared->stop.get(), shared->released.get()};
        if (WaitForMultipleObjects(2, either, FALSE, INFINITE) == WAIT_OBJECT_0)
            return 0;
        for (const Item& item : shared->items)
            if (format_of(item.type) == parameter)
                SetClipboardData(static_cast<UINT>(parameter), block_of(packed(item.type, item.bytes)));
        return 0;
    }

    std::shared_ptr<Shared> shared_;
    std::unique_ptr<Thread> thread_;
    int tries_ = 0;
};

// ---- programs that look ---------------------------------------------------------------------------------------------

// What somebody finds who opens the clipboard.
struct Look {
    ipc::unique_handle opened = event(), done = event();
    std::vector<UINT> formats;
    bool there = false;
    std::string bytes;
};

void look(Look& seen, UINT wanted) {
    while (!OpenClipboard(nullptr))
        Sleep(5);
    SetEvent(seen.opened.get());
    for (UINT format = 0; (format = EnumClipboardFormats(format)) != 0;)
        seen.formats.push_back(format);
    if (wanted) {
        const HANDLE handle = IsClipboardFormatAvailable(wanted) ? GetClipboardData(wanted) : nullptr;
        if (const void* memory = handle ? GlobalLock(handle) : nullptr) {
            seen.there = true;
            seen.bytes.assign(static_cast<const char*>(memory), GlobalSize(handle));
            GlobalUnlock(handle);
        }
    }
    CloseClipboard();
    SetEvent(seen.done.get());
}

std::shared_ptr<Look> look(Stage& stage, UINT wanted, bool nobody_runs, const Mistake& otherwise) {
    auto seen = std::make_shared<Look>();
    const Thread thread([seen, wanted] { look(*seen, wanted); });
    const auto comes = [](const ipc::unique_handle& event) {
        return [&event](Deadline deadline) { return WaitForSingleObject(event.get(), deadline.wait_ms()) == WAIT_OBJECT_0; };
    };
    if (nobody_runs) {
        await_ours(stage, comes(seen->done), "a look at the clipboard");
        return seen;
    }
    stage.await(comes(seen->opened), "another program opens the clipboard", "never-closes");
    stage.await(comes(seen->done), "another program asks for the data and gets an answer", otherwise);
    return seen;
}

// The number behind `name:` in the header, or a failure.
std::size_t offset(Stage& stage, const std::string& data, const std::string& name) {
    const auto at = data.find(name + ":");
    stage.require(at != std::string::npos && at < 300, {"the HTML Format has a header with " + name, shown(data, 200), "", "", "no-header"});
    return static_cast<std::size_t>(std::strtoull(data.c_str() + at + name.size() + 1, nullptr, 10));
}

std::string fragment_of(Stage& stage, const std::string& data) {
    const std::size_t start = offset(stage, data, "StartFragment"), end = offset(stage, data, "EndFragment");
    const std::size_t from = offset(stage, data, "StartHTML"), to = offset(stage, data, "EndHTML");
    stage.require(data.starts_with("Version:"), {"the header begins with its version", shown(data, 60), "", "", "no-header"});
    const std::string numbers = "StartHTML " + std::to_string(from) + ", StartFragment " + std::to_string(start) + ", EndFragment " + std::to_string(end) +
                                ", EndHTML " + std::to_string(to) + " in " + std::to_string(data.size()) + " bytes";
    stage.require(from <= start && start <= end && end <= to && to <= data.size(), {"offsets within the data, in their order", numbers, "", "", "counts-from-the-html"});
    return data.substr(start, end - start);
}

}  // namespace

// ---- the desk -------------------------------------------------------------------------------------------------------

struct Desk::State {
    std::unique_ptr<Program> program;
    std::vector<Process*> started;
    ipc::unique_handle turn;
    HWINSTA station = nullptr;

    bool nobody_runs() const {
        return std::all_of(started.begin(), started.end(), [](Process* process) { return process->wait(Deadline::in(milliseconds(0))); });
    }
};

Desk::Desk(Stage& stage) : stage_(stage), state_(std::make_unique<State>()) {
    if (under_wine()) {
        // A window station has a clipboard of its own, and our children are in ours.
        state_->station = CreateWindowStationW(ipc::to_wide(stage.name("desk")).c_str(), 0, GENERIC_ALL, nullptr);
        if (!state_->station || !SetProcessWindowStation(state_->station))
            ipc::throw_last_error("CreateWindowStation");
        desk_of_all_threads = CreateDesktopW(L"Default", nullptr, nullptr, 0, GENERIC_ALL, nullptr);
        if (!desk_of_all_threads || !SetThreadDesktop(desk_of_all_threads))
            ipc::throw_last_error("CreateDesktop");
        return;
    }
    // There is one clipboard, and one case at a time has it.
    state_->turn.reset(CreateMutexW(nullptr, FALSE, L"Local\\ipc-labs-clipboard"));
    WaitForSingleObject(state_->turn.get(), 80'000);
}

Desk::~Desk() {
    state_->program.reset();
    if (state_->turn)
        ReleaseMutex(state_->turn.get());
}

Subject Desk::start(std::vector<std::string> arguments, Start how) {
    Subject lab = stage_.start(std::move(arguments), how);
    state_->started.push_back(&lab.process());
    return lab;
}

void Desk::copy(std::vector<Item> items, Manner manner, std::size_t) {
    auto program = std::make_unique<Program>(std::move(items), manner);
    const auto copied = [&](Deadline deadline) { return program->has_copied(deadline); };
    if (state_->nobody_runs())
        await_ours(stage_, copied, "a copy");
    else
        stage_.await(copied, "another program opens the clipboard and copies", "never-closes");
    state_->program = std::move(program);
}

void Desk::is_asked(const Mistake& otherwise) {
    stage_.await([&](Deadline deadline) { return state_->program->is_asked(deadline); },
                 "the lab program asks for the data (GetClipboardData)", otherwise);
}

void Desk::answer() { state_->program->answer(); }

void Desk::empty() {
    copy({});
    state_->program.reset();
}

std::optional<std::string> Desk::ask(const std::string& type, const Mistake& otherwise) {
    const auto seen = look(stage_, format_of(type), state_->nobody_runs(), otherwise);
    stage_.require(seen->there || !IsClipboardFormatAvailable(format_of(type)) || GetClipboardOwner(),
                   {"the clipboard has an owner that it can ask for " + type, "nobody owns it: who empties it has opened it without a window", "", "",
                    "opens-without-window"});
    if (!seen->there)
        return std::nullopt;
    if (type == "text/html")
        return fragment_of(stage_, seen->bytes);
    if (type != "text/plain")
        return seen->bytes;
    const std::wstring text(reinterpret_cast<const wchar_t*>(seen->bytes.data()), seen->bytes.size() / sizeof(wchar_t));
    stage_.require(text.find(L'\0') != std::wstring::npos, {"CF_UNICODETEXT ends with a NUL", "it has none", "", "", "text-without-nul"});
    return ipc::to_utf8(text.substr(0, text.find(L'\0')));
}

std::vector<std::string> Desk::types(const Mistake& otherwise) {
    std::vector<std::string> types;
    const std::shared_ptr<Look> seen = look(stage_, 0, state_->nobody_runs(), otherwise);
    for (const UINT format : seen->formats) {
        const std::string type = type_of(format);
        if (!type.empty() && std::find(types.begin(), types.end(), type) == types.end())
            types.push_back(type);
    }
    return types;
}

void Desk::gets_all_forms_of(const std::string& text) {
    // CF_TEXT is the system's own work; only that it can do it is the lab program's.
    const auto seen = look(stage_, CF_TEXT, state_->nobody_runs(), "");
    stage_.require(seen->there, {"the system makes CF_TEXT out of the text", "it cannot", "", "", "not-unicode-text"});
    const std::string word = text.substr(text.find(' ') + 1, 12);
    stage_.require(seen->bytes.find(word) != std::string::npos, {"CF_TEXT has " + shown(word) + " in it", shown(seen->bytes), "", "", "not-unicode-text"});
}

namespace {

// The judge has the clipboard open, as a program does that has been stopped in between.
class Holder {
public:
    explicit Holder(Stage& stage) {
        thread_ = std::make_unique<Thread>([shared = shared_] {
            // With a window: Wine lets several in who have none.
            const HWND window = CreateWindowExW(0, L"Message", nullptr, 0, 0, 0, 0, 0, HWND_MESSAGE, nullptr, nullptr, nullptr);
            while (!OpenClipboard(window))
                Sleep(5);
            SetEvent(shared->open.get());
            WaitForSingleObject(shared->release.get(), INFINITE);
            CloseClipboard();
            DestroyWindow(window);
        });
        // No lab program runs that could hold it.
        await_ours(stage, [&](Deadline deadline) { return WaitForSingleObject(shared_->open.get(), deadline.wait_ms()) == WAIT_OBJECT_0; },
                   "opening the clipboard");
    }
    ~Holder() { release(); }
    void release() {
        SetEvent(shared_->release.get());
        thread_->wait(Deadline::in(milliseconds(5000)));
    }

private:
    struct Shared {
        ipc::unique_handle open = event(), release = event();
    };
    std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
    std::unique_ptr<Thread> thread_;
};

}  // namespace
}  // namespace peers

using namespace peers;

EXERCISE("Exercise 4: large and hostile") {

CASE("4.18 while another program has the clipboard open every verb waits and then does its work" * points(5) * section("one-at-a-time") *
     hints("OpenClipboard says no. Does that mean that it will say no in a moment?",
           "Any program may have it open for a few milliseconds, and nobody is told when it is free. So one tries again, for a bounded time, and sleeps in between.",
           "A loop around OpenClipboard with Sleep(10) until an ipc::Deadline; it is the only place where nothing better is to be had.")) {
    Desk desk(stage);
    const std::string text = nasty_text(stage.random()), other = stage.random().word(20);
    desk.copy({{"text/plain", text}});
    auto held = [&](std::vector<std::string> arguments) {
        Holder holder(stage);
        arguments.insert(arguments.end(), {"--timeout", "20000"});
        Subject lab = desk.start(std::move(arguments));
        lab.feed(other);
        lab.close_input();
        lab.idles("gives-up-at-once");
        stage.require(lab.output_so_far().empty(), {"nothing is printed while the clipboard is held", shown(lab.output_so_far()), "", "", ""});
        holder.release();
        return lab;
    };
    Subject paste = held({"paste"});
    paste.prints(text);
    paste.exits(0, "gives-up-at-once");
    Subject types = held({"types"});
    types.prints("text/plain\n");
    types.exits(0, "gives-up-at-once");
    Subject lab = held({"copy"});
    lab.ready("gives-up-at-once");
    desk.gets("text/plain", other);
    desk.copy({{"text/plain", "x"}});
    lab.exits(0, "stays-when-lost");
}

CASE("4.19 a clipboard that stays held is an error in time and what was on it stays" * points(4) * section("one-at-a-time") *
     hints("How long do you try?",
           "As long as --timeout says. Then the user wants to know who it is that holds it.",
           "When the deadline has expired throw std::runtime_error; GetOpenClipboardWindow() and GetWindowThreadProcessId() tell who, if there is a window.")) {
    stage.patience(milliseconds(6000));  // who tries again and again never stands still
    Desk desk(stage);
    const std::string text = stage.random().word(20);
    desk.copy({{"text/plain", text}});
    {
        Holder holder(stage);
        for (const char* verb : {"types", "paste", "copy"}) {
            Subject lab = desk.start({verb, "--timeout", "300"});
            lab.feed("something else");
            lab.close_input();
            lab.exits(1, "tries-for-ever, open-unchecked");
            stage.require(lab.output().empty(), {"nothing is printed", shown(lab.output()), "", "", "open-unchecked"});
            stage.require(!lab.errors().empty(), {"standard error says what was wrong", "nothing", "", "", "open-unchecked"});
        }
    }
    Subject paste = desk.start({"paste"});
    paste.prints(text);
    paste.exits(0);
}

CASE("4.20 a copy that is asked to stop keeps its promise first" * points(5) * section("promises") *
     hints("What is on the clipboard when the one who has promised is gone?",
           "Nothing, unless it renders what it still owes. The system reminds it: WM_RENDERALLFORMATS, when its window is destroyed.",
           "A console control handler posts WM_CLOSE to the window. At WM_RENDERALLFORMATS open the clipboard, look whether GetClipboardOwner() is still you, and set what is not yet set.")) {
    Desk desk(stage);
    const std::string text = nasty_text(stage.random()), own = "application/x-" + stage.random().word(10);
    Subject lab = desk.copies({"--type", "text/plain", "--type", own, "--type", "text/html"}, text);
    desk.gets(own, text);
    lab.process().interrupt();
    lab.exits(0, "killed-by-ctrl-c");
    for (const std::string& type : {std::string("text/plain"), own, std::string("text/html")})
        desk.gets(type, text, "promise-dies-with-owner, killed-by-ctrl-c");
    // One that owns nothing any more has nothing to keep.
    Subject second = desk.copies({}, text);
    desk.copy({{"text/plain", "x"}});
    second.exits(0, "stays-when-lost");
    desk.gets("text/plain", "x", "clears-when-lost");
}

CASE("4.21 copy keeps the clipboard closed while it waits and watch does too" * points(3) * section("one-at-a-time") *
     hints("Who else can paste while your program has the clipboard open?",
           "Nobody on the whole desktop. An early return or an exception between open and close locks everybody out.",
           "An object whose constructor opens and whose destructor closes, in a scope that ends before you wait.")) {
    Desk desk(stage);
    const std::string text = stage.random().word(20);
    desk.copy({{"text/plain", text}});
    Subject watch = desk.start({"watch", "--count", "2"});
    watch.ready();
    Subject lab = desk.copies({}, text);
    desk.gets("text/plain", text, "never-closes");
    const std::string first = watch.line("misses-changes");
    stage.require(first == "copied", {"copied", shown(first), "", "", "misses-changes"});
    lab.idles();
    watch.idles("misses-changes");
    desk.copy({{"text/plain", "x"}});
    lab.exits(0, "stays-when-lost");
    watch.exits(0, "misses-changes");
}

}
