// Lab 04, win32 track, written differently: the clipboard is used in the main thread, and a watchdog thread ends the process
// when an owner does not answer. Ctrl-C sets an event that the message loop waits for beside the messages; changes are heard of
// in the old way, as a member of the chain of clipboard viewers.

#include "clipboard.hpp"

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"
#include "ipc/text.hpp"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <stdexcept>
#include <windows.h>

namespace clipboard {
namespace {

using std::chrono::milliseconds;

void open(HWND window, milliseconds patience) {
    const ipc::Deadline deadline = ipc::Deadline::in(patience);
    for (DWORD pause = 1; !::OpenClipboard(window); pause = pause < 20 ? pause * 2 : 20) {
        if (deadline.expired())
            throw std::runtime_error("the clipboard is held open by another program");
        ::Sleep(pause);
    }
}

struct Closer {
    ~Closer() { ::CloseClipboard(); }
};

// Ends the process after a time, unless it goes first.
class Watchdog {
public:
    explicit Watchdog(milliseconds patience) : patience_(static_cast<DWORD>(patience.count())), home_(::CreateEventW(nullptr, TRUE, FALSE, nullptr)) {
        thread_.reset(::CreateThread(nullptr, 0, watch, this, 0, nullptr));
        if (!thread_)
            ipc::throw_last_error("CreateThread");
    }
    Watchdog(const Watchdog&) = delete;
    ~Watchdog() {
        ::SetEvent(home_.get());
        ::WaitForSingleObject(thread_.get(), INFINITE);
    }

private:
    static DWORD WINAPI watch(void* self) {
        auto* const dog = static_cast<Watchdog*>(self);
        if (::WaitForSingleObject(dog->home_.get(), dog->patience_) == WAIT_TIMEOUT) {
            ipc::print_signal_safe("lab-04: the owner of the clipboard does not answer\n");
            ::TerminateProcess(::GetCurrentProcess(), 1);
        }
        return 0;
    }
    DWORD patience_;
    ipc::unique_handle home_, thread_;
};

std::wstring format_name(const std::string& type) {
    static const std::map<std::string, std::wstring> names = {{"text/html", L"HTML Format"}, {"image/png", L"PNG"}};
    const auto known = names.find(type);
    return known == names.end() ? ipc::to_wide(type) : known->second;
}

UINT format(const std::string& type) { return type == "text/plain" ? CF_UNICODETEXT : ::RegisterClipboardFormatW(format_name(type).c_str()); }

std::vector<std::string> names() {
    std::vector<std::string> all;
    bool text = false;
    for (UINT one = ::EnumClipboardFormats(0); one != 0; one = ::EnumClipboardFormats(one)) {
        wchar_t name[260];
        if (one == CF_TEXT || one == CF_UNICODETEXT || one == CF_OEMTEXT) {
            if (!text)
                all.push_back("text/plain");
            text = true;
        } else if (::GetClipboardFormatNameW(one, name, 260)) {
            const std::string plain = ipc::to_utf8(name);
            all.push_back(plain == "HTML Format" ? "text/html" : plain == "PNG" ? "image/png" : plain);
        }
    }
    return all;
}

HGLOBAL block(const std::string& bytes) {
    const HGLOBAL handle = ::GlobalAlloc(GMEM_MOVEABLE, bytes.size());
    if (!handle)
        ipc::throw_last_error("GlobalAlloc");
    std::memcpy(::GlobalLock(handle), bytes.data(), bytes.size());
    ::GlobalUnlock(handle);
    return handle;
}

std::string number(std::size_t value) {
    char text[16];
    std::snprintf(text, sizeof text, "%08zu", value);
    return text;
}

std::string wrapped(const std::string& type, const std::string& data) {
    if (type == "text/plain") {
        const std::wstring wide = ipc::to_wide(data);
        return {reinterpret_cast<const char*>(wide.c_str()), 2 * wide.size() + 2};
    }
    if (type != "text/html")
        return data;
    const std::string before = "<!--StartFragment-->", after = "<!--EndFragment-->";
    const std::size_t header = std::strlen("Version:0.9\r\nStartHTML:00000000\r\nEndHTML:00000000\r\nStartFragment:00000000\r\nEndFragment:00000000\r\n");
    const std::size_t start = header + before.size(), end = start + data.size();
    return "Version:0.9\r\nStartHTML:" + number(header) + "\r\nEndHTML:" + number(end + after.size()) + "\r\nStartFragment:" + number(start) +
           "\r\nEndFragment:" + number(end) + "\r\n" + before + data + after;
}

std::string unwrapped(const std::string& type, const std::string& bytes) {
    if (type == "text/plain") {
        std::wstring wide(bytes.size() / 2, L'\0');
        std::memcpy(wide.data(), bytes.data(), wide.size() * 2);
        return ipc::to_utf8(wide.c_str());
    }
    if (type != "text/html")
        return bytes;
    auto offset = [&](const char* name) {
        const auto at = bytes.find(name);
        if (at == std::string::npos)
            throw std::runtime_error("this HTML Format has no header");
        return static_cast<std::size_t>(std::strtoul(bytes.c_str() + at + std::strlen(name), nullptr, 10));
    };
    const std::size_t start = offset("StartFragment:"), end = offset("EndFragment:");
    if (end < start || end > bytes.size())
        throw std::runtime_error("this HTML Format has a wrong header");
    return bytes.substr(start, end - start);
}

ipc::unique_handle stop_event;

struct Promise {
    const std::vector<Offer>* offers = nullptr;
    milliseconds patience{0};
    std::map<UINT, std::size_t> open;  // formats that are still to be rendered
    bool lost = false;

    void keep(UINT wanted) {
        const auto found = open.find(wanted);
        if (found == open.end())
            return;
        const Offer& offer = (*offers)[found->second];
        try {
            ::SetClipboardData(wanted, block(wrapped(offer.type, offer.render())));
            open.erase(found);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "lab-04: %s\n", error.what());
        }
    }
    void keep_all(HWND window) {
        try {
            clipboard::open(window, patience);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "lab-04: %s\n", error.what());
            return;
        }
        const Closer closer;
        const std::map<UINT, std::size_t> all = open;
        for (const auto& [wanted, index] : all)
            if (::GetClipboardOwner() == window)
                keep(wanted);
    }
};

Promise promise;

LRESULT CALLBACK owner_procedure(HWND window, UINT message, WPARAM w, LPARAM l) {
    if (message == WM_RENDERFORMAT)
        promise.keep(static_cast<UINT>(w));
    else if (message == WM_RENDERALLFORMATS)
        promise.keep_all(window);
    else if (message == WM_DESTROYCLIPBOARD)
        promise.lost = true;
    else
        return ::DefWindowProcW(window, message, w, l);
    return 0;
}

struct News {
    const std::function<bool(Change)>* changed = nullptr;
    HWND next = nullptr;
    bool joining = true, over = false;
};

News news;

LRESULT CALLBACK viewer_procedure(HWND window, UINT message, WPARAM w, LPARAM l) {
    if (message == WM_DRAWCLIPBOARD) {
        // The first comes by itself, on joining.
        if (!news.joining && !news.over)
            news.over = !(*news.changed)(::CountClipboardFormats() ? Change::copied : Change::emptied);
        if (news.next)
            ::SendMessageW(news.next, message, w, l);
        return 0;
    }
    if (message == WM_CHANGECBCHAIN) {
        if (reinterpret_cast<HWND>(w) == news.next)
            news.next = reinterpret_cast<HWND>(l);
        else if (news.next)
            ::SendMessageW(news.next, message, w, l);
        return 0;
    }
    return ::DefWindowProcW(window, message, w, l);
}

HWND make_window(WNDPROC procedure) {
    WNDCLASSEXW kind{};
    kind.cbSize = sizeof kind;
    kind.lpszClassName = L"AlternativeClipboard";
    kind.hInstance = ::GetModuleHandleW(nullptr);
    kind.lpfnWndProc = procedure;
    ::RegisterClassExW(&kind);
    const HWND window = ::CreateWindowExW(0, kind.lpszClassName, L"", 0, 0, 0, 0, 0, HWND_MESSAGE, nullptr, kind.hInstance, nullptr);
    if (!window)
        ipc::throw_last_error("CreateWindowExW");
    return window;
}

void pump() {
    MSG message;
    while (::PeekMessageW(&message, nullptr, 0, 0, PM_REMOVE))
        ::DispatchMessageW(&message);
}

}  // namespace

std::vector<std::string> types(milliseconds patience) {
    open(nullptr, patience);
    const Closer closer;
    return names();
}

std::string paste(const std::string& type, milliseconds patience) {
    open(nullptr, patience);
    const Closer closer;
    std::string list;
    bool there = false;
    for (const std::string& name : names()) {
        list += " " + name;
        there = there || name == type;
    }
    if (!there)
        throw std::runtime_error(list.empty() ? "nothing was copied" : type + " is not there, only" + list);
    HANDLE handle = nullptr;
    {
        const Watchdog dog(patience);
        handle = ::GetClipboardData(format(type));
    }
    const void* const memory = handle ? ::GlobalLock(handle) : nullptr;
    if (!memory)
        throw std::runtime_error("the owner has not made the " + type + " that it has promised");
    const std::string bytes(static_cast<const char*>(memory), ::GlobalSize(handle));
    ::GlobalUnlock(handle);
    return unwrapped(type, bytes);
}

void copy(const std::vector<Offer>& offers, milliseconds patience) {
    promise.offers = &offers;
    promise.patience = patience;
    const HWND window = make_window(owner_procedure);
    {
        open(window, patience);
        const Closer closer;
        if (!::EmptyClipboard())
            ipc::throw_last_error("EmptyClipboard");
        for (std::size_t i = 0; i < offers.size(); ++i) {
            const UINT number_of = format(offers[i].type);
            promise.open[number_of] = i;
            ::SetClipboardData(number_of, nullptr);
        }
    }
    stop_event.reset(::CreateEventW(nullptr, TRUE, FALSE, nullptr));
    ::SetConsoleCtrlHandler([](DWORD) -> BOOL { return ::SetEvent(stop_event.get()); }, TRUE);
    ipc::say_ready();
    const HANDLE stop = stop_event.get();
    while (!promise.lost && ::MsgWaitForMultipleObjectsEx(1, &stop, INFINITE, QS_ALLINPUT, MWMO_INPUTAVAILABLE) != WAIT_OBJECT_0)
        pump();
    ::DestroyWindow(window);
}

void watch(const std::function<bool(Change)>& changed) {
    news.changed = &changed;
    const HWND window = make_window(viewer_procedure);
    news.next = ::SetClipboardViewer(window);
    pump();
    news.joining = false;
    ipc::say_ready();
    MSG message;
    while (!news.over && ::MsgWaitForMultipleObjectsEx(0, nullptr, INFINITE, QS_ALLINPUT, MWMO_INPUTAVAILABLE) == WAIT_OBJECT_0)
        while (!news.over && ::PeekMessageW(&message, nullptr, 0, 0, PM_REMOVE))
            ::DispatchMessageW(&message);
    ::ChangeClipboardChain(window, news.next);
    ::DestroyWindow(window);
}

}  // namespace clipboard
