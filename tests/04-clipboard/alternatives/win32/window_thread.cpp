// Lab 04, win32 track, written differently: everything that has to do with windows is done by a thread of its own,
// which has subclassed a window of the system; a paste is read in a thread that hands over by a condition variable.

#include "clipboard.hpp"

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/handle.hpp"
#include "ipc/program.hpp"
#include "ipc/text.hpp"
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <windows.h>

namespace clipboard {
namespace {

using std::chrono::milliseconds;

struct Session {
    Session(HWND window, milliseconds patience) {
        ipc::Deadline deadline = ipc::Deadline::in(patience);
        bool opened = ::OpenClipboard(window);
        for (; !opened && !deadline.expired(); opened = ::OpenClipboard(window))
            ::Sleep(15);
        if (!opened)
            ipc::throw_last_error("OpenClipboard", "another program does not close it");
    }
    Session(const Session&) = delete;
    ~Session() { ::CloseClipboard(); }

    template <class Use>
    void each(Use use) const {
        UINT format = 0;
        while ((format = ::EnumClipboardFormats(format)) != 0)
            use(format, name_of(format));
    }
    static std::string name_of(UINT format) {
        if (format == CF_UNICODETEXT || format == CF_TEXT || format == CF_OEMTEXT)
            return "text/plain";
        std::wstring name(256, L'\0');
        name.resize(static_cast<std::size_t>(::GetClipboardFormatNameW(format, name.data(), 256)));
        return name == L"HTML Format" ? "text/html" : name == L"PNG" ? "image/png" : ipc::to_utf8(name);
    }
};

UINT number_of(const std::string& type) {
    if (type == "text/plain")
        return CF_UNICODETEXT;
    return ::RegisterClipboardFormatW(type == "text/html" ? L"HTML Format" : type == "image/png" ? L"PNG" : ipc::to_wide(type).c_str());
}

std::vector<std::string> names_in(const Session& session) {
    std::vector<std::string> names;
    session.each([&](UINT, const std::string& name) {
        if (!name.empty() && std::find(names.begin(), names.end(), name) == names.end())
            names.push_back(name);
    });
    return names;
}

// ---- reading ----

std::string decoded(const std::string& type, const char* bytes, std::size_t size) {
    if (type == "text/plain") {
        const auto* wide = reinterpret_cast<const wchar_t*>(bytes);
        return ipc::to_utf8(std::wstring_view(wide, static_cast<std::size_t>(std::find(wide, wide + size / 2, L'\0') - wide)));
    }
    if (type != "text/html")
        return std::string(bytes, size);
    std::size_t start = size + 1, end = 0;
    std::istringstream header(std::string(bytes, std::min<std::size_t>(size, 1000)));
    for (std::string line; std::getline(header, line) && line.find(':') != std::string::npos;) {
        if (line.starts_with("StartFragment:"))
            start = std::stoul(line.substr(14));
        else if (line.starts_with("EndFragment:"))
            end = std::stoul(line.substr(12));
        if (line.starts_with("<"))
            break;
    }
    if (start > end || end > size)
        throw std::runtime_error("HTML with a header that cannot be");
    return std::string(bytes + start, end - start);
}

struct Reading {
    std::mutex mutex;
    std::condition_variable changed;
    bool over = false;
    std::string data, error;
};

void read(const std::string& type, milliseconds patience, Reading& reading) {
    std::string data, error;
    try {
        const Session session(nullptr, patience);
        const std::vector<std::string> names = names_in(session);
        if (std::find(names.begin(), names.end(), type) == names.end()) {
            error = names.empty() ? "the clipboard is empty" : "no " + type + " there, but:";
            for (const std::string& name : names)
                error += " " + name;
        } else if (const HANDLE handle = ::GetClipboardData(number_of(type)); !handle)
            error = "the owner has promised " + type + " and does not give it";
        else {
            data = decoded(type, static_cast<const char*>(::GlobalLock(handle)), ::GlobalSize(handle));
            ::GlobalUnlock(handle);
        }
    } catch (const std::exception& thrown) {
        error = thrown.what();
    }
    const std::lock_guard lock(reading.mutex);
    reading.data = data;
    reading.error = error;
    reading.over = true;
    reading.changed.notify_all();
}

// ---- writing ----

std::string encoded(const std::string& type, const std::string& data) {
    if (type == "text/plain") {
        std::wstring wide = ipc::to_wide(data);
        wide.push_back(L'\0');
        return std::string(reinterpret_cast<char*>(wide.data()), wide.size() * 2);
    }
    if (type != "text/html")
        return data;
    std::string html, before = "<html>\r\n<body>\r\n<!--StartFragment-->", after = "<!--EndFragment-->\r\n</body>\r\n</html>";
    for (int pass = 0; pass < 2; ++pass) {  // the second knows how long the header is
        char header[256];
        const std::size_t length = html.size(), start = length + before.size();
        std::snprintf(header, sizeof header, "Version:1.0\r\nStartHTML:%012zu\r\nEndHTML:%012zu\r\nStartFragment:%012zu\r\nEndFragment:%012zu\r\n", length,
                      start + data.size() + after.size(), start, start + data.size());
        html = header;
    }
    return html + before + data + after;
}

void put(UINT format, const std::string& bytes) {
    const HGLOBAL handle = ::GlobalAlloc(GMEM_MOVEABLE, bytes.size());
    if (!handle)
        ipc::throw_last_error("GlobalAlloc");
    std::copy(bytes.begin(), bytes.end(), static_cast<char*>(::GlobalLock(handle)));
    ::GlobalUnlock(handle);
    if (!::SetClipboardData(format, handle)) {
        ::GlobalFree(handle);
        ipc::throw_last_error("SetClipboardData");
    }
}

class Shop {
public:
    Shop(const std::vector<Offer>& offers, milliseconds patience) : offers_(offers), patience_(patience), thread_([this] { run(); }) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return open_ || failure_; });
        if (failure_) {
            lock.unlock();
            thread_.join();
            std::rethrow_exception(failure_);
        }
        current = window_;
    }
    void join() { thread_.join(); }
    static inline std::atomic<HWND> current = nullptr;

private:
    void run() {
        try {
            window_ = ::CreateWindowExW(0, L"STATIC", nullptr, 0, 0, 0, 0, 0, HWND_MESSAGE, nullptr, nullptr, nullptr);
            if (!window_)
                ipc::throw_last_error("CreateWindowExW");
            ::SetWindowLongPtrW(window_, GWLP_USERDATA, reinterpret_cast<LONG_PTR>(this));
            before_ = reinterpret_cast<WNDPROC>(::SetWindowLongPtrW(window_, GWLP_WNDPROC, reinterpret_cast<LONG_PTR>(procedure)));
            const Session session(window_, patience_);
            ::EmptyClipboard();
            for (const Offer& offer : offers_)
                ::SetClipboardData(number_of(offer.type), nullptr);
        } catch (const std::exception&) {
            const std::lock_guard lock(mutex_);
            failure_ = std::current_exception();
            changed_.notify_all();
            return;
        }
        {
            const std::lock_guard lock(mutex_);
            open_ = true;
            changed_.notify_all();
        }
        MSG message;
        while (!lost_ && ::GetMessageW(&message, nullptr, 0, 0) > 0) {
            if (message.message == WM_APP)
                break;
            ::DispatchMessageW(&message);
        }
        current = nullptr;
        ::DestroyWindow(window_);
    }

    static LRESULT CALLBACK procedure(HWND window, UINT message, WPARAM w, LPARAM l) {
        auto& shop = *reinterpret_cast<Shop*>(::GetWindowLongPtrW(window, GWLP_USERDATA));
        try {
            if (message == WM_RENDERFORMAT)
                shop.render([&](UINT format) { return format == w; });
            else if (message == WM_RENDERALLFORMATS) {
                const Session session(window, shop.patience_);
                if (::GetClipboardOwner() == window)
                    shop.render([&](UINT format) { return std::find(shop.done_.begin(), shop.done_.end(), format) == shop.done_.end(); });
            } else if (message == WM_DESTROYCLIPBOARD) {
                shop.lost_ = true;
                ::PostMessageW(window, WM_APP, 0, 0);
            } else
                return ::CallWindowProcW(shop.before_, window, message, w, l);
        } catch (const std::exception& error) {
            std::fprintf(stderr, "lab-04: %s\n", error.what());
        }
        return 0;
    }

    template <class Wanted>
    void render(Wanted wanted) {
        for (const Offer& offer : offers_)
            if (const UINT format = number_of(offer.type); wanted(format)) {
                put(format, encoded(offer.type, offer.render()));
                done_.push_back(format);
            }
    }

    const std::vector<Offer>& offers_;
    milliseconds patience_;
    std::vector<UINT> done_;
    HWND window_ = nullptr;
    WNDPROC before_ = nullptr;
    bool lost_ = false, open_ = false;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::exception_ptr failure_;
    std::thread thread_;  // last: it uses the others
};

}  // namespace

std::vector<std::string> types(milliseconds patience) {
    const Session session(nullptr, patience);
    return names_in(session);
}

std::string paste(const std::string& type, milliseconds patience) {
    const auto reading = std::make_shared<Reading>();
    std::thread([=] { read(type, patience, *reading); }).detach();
    std::unique_lock lock(reading->mutex);
    if (!reading->changed.wait_for(lock, patience + milliseconds(100), [&] { return reading->over; }))
        throw std::runtime_error("nobody answers for the clipboard's owner");
    if (!reading->error.empty())
        throw std::runtime_error(reading->error);
    return reading->data;
}

void copy(const std::vector<Offer>& offers, milliseconds patience) {
    Shop shop(offers, patience);
    ::SetConsoleCtrlHandler([](DWORD) -> BOOL { return Shop::current && ::PostMessageW(Shop::current, WM_APP, 0, 0); }, TRUE);
    ipc::say_ready();
    shop.join();
}

void watch(const std::function<bool(Change)>& changed) {
    const HWND window = ::CreateWindowExW(0, L"STATIC", nullptr, 0, 0, 0, 0, 0, HWND_MESSAGE, nullptr, nullptr, nullptr);
    if (!window || !::AddClipboardFormatListener(window))
        ipc::throw_last_error("AddClipboardFormatListener");
    ipc::say_ready();
    for (MSG message; ::GetMessageW(&message, nullptr, 0, 0) > 0; ::DispatchMessageW(&message))
        if (message.message == WM_CLIPBOARDUPDATE && !changed(::CountClipboardFormats() ? Change::copied : Change::emptied))
            break;
    ::RemoveClipboardFormatListener(window);
    ::DestroyWindow(window);
}

}  // namespace clipboard
