// Lab 04, posix track, written differently: each large paste is served by a child process with a connection of its own, and
// paste asks for what it wants at once, for the list only when it was refused.

#include "clipboard.hpp"

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/program.hpp"
#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <poll.h>
#include <stdexcept>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xcb/xcb.h>
#include <xcb/xfixes.h>

namespace clipboard {
namespace {

using std::chrono::milliseconds;
constexpr std::size_t piece_size = 100'000;

struct X {
    xcb_connection_t* c = nullptr;
    xcb_window_t window = 0;

    X() {
        c = xcb_connect(nullptr, nullptr);
        if (xcb_connection_has_error(c)) {
            xcb_disconnect(c);
            const char* const name = std::getenv("DISPLAY");
            throw std::runtime_error(std::string("cannot reach an X server at DISPLAY=") + (name ? name : "(not set)"));
        }
        window = xcb_generate_id(c);
        const std::uint32_t mask = XCB_EVENT_MASK_PROPERTY_CHANGE;
        xcb_create_window(c, 0, window, xcb_setup_roots_iterator(xcb_get_setup(c)).data->root, 0, 0, 1, 1, 0,
                          XCB_WINDOW_CLASS_INPUT_ONLY, 0, XCB_CW_EVENT_MASK, &mask);
    }
    X(const X&) = delete;
    ~X() { xcb_disconnect(c); }

    xcb_atom_t atom(const char* name) {
        auto* reply = xcb_intern_atom_reply(c, xcb_intern_atom(c, 0, static_cast<std::uint16_t>(std::strlen(name)), name), nullptr);
        check(reply);
        const xcb_atom_t atom = reply->atom;
        std::free(reply);
        return atom;
    }
    std::string name(xcb_atom_t atom) {
        auto* reply = xcb_get_atom_name_reply(c, xcb_get_atom_name(c, atom), nullptr);
        check(reply);
        const std::string text(xcb_get_atom_name_name(reply), static_cast<std::size_t>(xcb_get_atom_name_name_length(reply)));
        std::free(reply);
        return text;
    }
    xcb_window_t owner() {
        auto* reply = xcb_get_selection_owner_reply(c, xcb_get_selection_owner(c, atom("CLIPBOARD")), nullptr);
        check(reply);
        const xcb_window_t found = reply->owner;
        std::free(reply);
        return found;
    }
    // In parts of 64 KiB, until nothing is left; then it is deleted.
    std::string take(xcb_window_t of, xcb_atom_t property, xcb_atom_t& type, bool remove = true) {
        std::string all;
        for (std::uint32_t offset = 0;; offset += 16 * 1024) {
            auto* reply = xcb_get_property_reply(c, xcb_get_property(c, remove, of, property, XCB_GET_PROPERTY_TYPE_ANY, offset, 16 * 1024), nullptr);
            check(reply);
            type = reply->type;
            all.append(static_cast<char*>(xcb_get_property_value(reply)), static_cast<std::size_t>(xcb_get_property_value_length(reply)));
            const bool more = reply->bytes_after > 0;
            std::free(reply);
            if (!more)
                return all;
        }
    }
    void put(xcb_window_t of, xcb_atom_t property, xcb_atom_t type, int format, const void* data, std::size_t count) {
        xcb_change_property(c, XCB_PROP_MODE_REPLACE, of, property, type, static_cast<std::uint8_t>(format), static_cast<std::uint32_t>(count), data);
    }
    // False when nothing came in time. `other` is a descriptor that ends the wait too.
    bool wait(xcb_generic_event_t*& event, ipc::Deadline deadline, int other = -1) {
        for (;;) {
            event = xcb_poll_for_event(c);
            if (event)
                return true;
            check(c);
            xcb_flush(c);
            pollfd entries[2] = {{xcb_get_file_descriptor(c), POLLIN, 0}, {other, POLLIN, 0}};
            const int count = ::poll(entries, 2, deadline.poll_ms());
            if (count == 0 || entries[1].revents)
                return count > 0;
            if (count < 0 && errno != EINTR)
                ipc::throw_last_error("poll");
        }
    }
    template <class T>
    void check(const T* there) {
        if (!there || xcb_connection_has_error(c))
            throw std::runtime_error("the X server has gone, or refuses a request");
    }
};

int kind(const xcb_generic_event_t* event) { return event->response_type & 0x7f; }

// ---- asking ----

struct Question {
    X& x;
    milliseconds patience;
    xcb_window_t owner;

    bool next(xcb_generic_event_t*& event, ipc::Deadline deadline) {
        if (!x.wait(event, deadline))
            throw std::runtime_error("the owner of the clipboard does not answer within " + std::to_string(patience.count()) + " ms");
        const bool ended = kind(event) == XCB_DESTROY_NOTIFY && reinterpret_cast<xcb_destroy_notify_event_t*>(event)->window == owner;
        if (ended) {
            std::free(event);
            throw std::runtime_error("the owner of the clipboard has died");
        }
        return true;
    }
    bool ask(xcb_atom_t target, std::string& data, xcb_atom_t& type) {
        const xcb_atom_t answer = x.atom("ALTERNATIVE");
        xcb_convert_selection(x.c, x.window, x.atom("CLIPBOARD"), target, answer, XCB_CURRENT_TIME);
        xcb_generic_event_t* event;
        ipc::Deadline deadline = ipc::Deadline::in(patience);
        bool refused = false;
        for (bool answered = false; !answered && next(event, deadline); std::free(event))
            if (kind(event) == XCB_SELECTION_NOTIFY) {
                answered = true;
                refused = reinterpret_cast<xcb_selection_notify_event_t*>(event)->property == XCB_ATOM_NONE;
            }
        if (refused)
            return false;
        data = x.take(x.window, answer, type);
        if (type != x.atom("INCR"))
            return true;
        data.clear();
        for (bool end = false; !end;) {
            deadline = ipc::Deadline::in(patience);
            for (bool there = false; !there && next(event, deadline); std::free(event))
                there = kind(event) == XCB_PROPERTY_NOTIFY && reinterpret_cast<xcb_property_notify_event_t*>(event)->state == XCB_PROPERTY_NEW_VALUE &&
                        reinterpret_cast<xcb_property_notify_event_t*>(event)->atom == answer;
            const std::string piece = x.take(x.window, answer, type);
            data += piece;
            end = piece.empty();
        }
        return true;
    }
};

const char* const forms[] = {"UTF8_STRING", "text/plain;charset=utf-8", "text/plain", "TEXT", "STRING"};

bool is_text(const std::string& target) {
    for (const char* form : forms)
        if (target == form)
            return true;
    return false;
}

std::vector<std::string> list(Question& question) {
    std::vector<std::string> names;
    std::string data;
    xcb_atom_t type;
    if (!question.ask(question.x.atom("TARGETS"), data, type))
        return names;
    for (std::size_t i = 0; i + 4 <= data.size(); i += 4) {
        xcb_atom_t atom;
        std::memcpy(&atom, data.data() + i, 4);
        const std::string target = question.x.name(atom), name = is_text(target) ? "text/plain" : target;
        bool known = false;
        for (const char* request : {"TARGETS", "MULTIPLE", "TIMESTAMP", "SAVE_TARGETS", "DELETE"})
            known = known || name == request;
        for (const std::string& one : names)
            known = known || one == name;
        if (!known)
            names.push_back(name);
    }
    return names;
}

Question question_to_owner(X& x, milliseconds patience) {
    const Question question{x, patience, x.owner()};
    const std::uint32_t mask = XCB_EVENT_MASK_STRUCTURE_NOTIFY;
    if (question.owner)
        xcb_change_window_attributes(x.c, question.owner, XCB_CW_EVENT_MASK, &mask);
    return question;
}

// ---- answering ----

std::string latin1(const std::string& text) {
    std::string bytes;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        if (c < 0x80)
            bytes += text[i];
        else if (c == 0xc2 || c == 0xc3)
            bytes += static_cast<char>(((c & 3) << 6) | (text[++i] & 0x3f));
        else if (c >= 0xc0)
            bytes += '?';
    }
    return bytes;
}

void tell(X& x, const xcb_selection_request_event_t& request, xcb_atom_t property) {
    xcb_selection_notify_event_t event{};
    event.response_type = XCB_SELECTION_NOTIFY;
    event.time = request.time;
    event.requestor = request.requestor;
    event.selection = request.selection;
    event.target = request.target;
    event.property = property;
    xcb_send_event(x.c, 0, request.requestor, 0, reinterpret_cast<const char*>(&event));
}

// Runs in a child: one transfer, to its end or to the requestor's.
void transfer(xcb_window_t to, xcb_atom_t property, xcb_atom_t type, const std::string& data, milliseconds patience,
              const xcb_selection_request_event_t* request) {
    X x;
    const std::uint32_t mask = XCB_EVENT_MASK_PROPERTY_CHANGE | XCB_EVENT_MASK_STRUCTURE_NOTIFY;
    xcb_change_window_attributes(x.c, to, XCB_CW_EVENT_MASK, &mask);
    const auto size = static_cast<std::uint32_t>(data.size());
    x.put(to, property, x.atom("INCR"), 32, &size, 1);
    if (request)
        tell(x, *request, property);
    for (std::size_t sent = 0, part = 1; part > 0;) {
        xcb_generic_event_t* event;
        if (!x.wait(event, ipc::Deadline::in(patience)))
            return;
        const int what = kind(event);
        const auto changed = *reinterpret_cast<xcb_property_notify_event_t*>(event);
        std::free(event);
        if (what == 0 || what == XCB_DESTROY_NOTIFY)
            return;
        if (what != XCB_PROPERTY_NOTIFY || changed.window != to || changed.atom != property || changed.state != XCB_PROPERTY_DELETE)
            continue;
        part = std::min(piece_size, data.size() - sent);
        x.put(to, property, type, 8, data.data() + sent, part);
        sent += part;
    }
    x.owner();
}

struct Seller {
    X& x;
    const std::vector<Offer>& offers;
    milliseconds patience;
    xcb_timestamp_t since = 0;
    std::map<std::size_t, std::string> made;
    int children = 0;

    // Which offer has this target; -1 for none.
    int offer_of(const std::string& target) const {
        for (std::size_t i = 0; i < offers.size(); ++i)
            if (offers[i].type == target || (offers[i].type == "text/plain" && is_text(target)))
                return static_cast<int>(i);
        return -1;
    }
    enum class Done { yes, no, by_child };

    Done convert(const xcb_selection_request_event_t& request, xcb_atom_t target, xcb_atom_t property, bool tell_it) {
        const std::string name = x.name(target);
        if (name == "TARGETS") {
            std::vector<xcb_atom_t> all = {target, x.atom("TIMESTAMP"), x.atom("MULTIPLE")};
            for (const Offer& offer : offers) {
                if (offer.type != "text/plain")
                    all.push_back(x.atom(offer.type.c_str()));
                else
                    for (const char* form : forms)
                        all.push_back(x.atom(form));
            }
            x.put(request.requestor, property, XCB_ATOM_ATOM, 32, all.data(), all.size());
            return Done::yes;
        }
        if (name == "TIMESTAMP") {
            x.put(request.requestor, property, XCB_ATOM_INTEGER, 32, &since, 1);
            return Done::yes;
        }
        const int index = offer_of(name);
        if (index < 0)
            return Done::no;
        const auto i = static_cast<std::size_t>(index);
        if (!made.contains(i))
            try {
                made[i] = offers[i].render();
            } catch (const std::exception& error) {
                made.erase(i);
                std::fprintf(stderr, "lab-04: no %s: %s\n", name.c_str(), error.what());
                return Done::no;
            }
        const bool text = offers[i].type == "text/plain";
        const std::string data = text && name == "STRING" ? latin1(made[i]) : made[i];
        const xcb_atom_t type = text && name == "TEXT" ? x.atom("UTF8_STRING") : target;
        if (data.size() <= piece_size) {
            x.put(request.requestor, property, type, 8, data.data(), data.size());
            return Done::yes;
        }
        x.owner();
        const pid_t child = ipc::check(::fork(), "fork");
        if (child == 0) {
            try {
                transfer(request.requestor, property, type, data, patience, tell_it ? &request : nullptr);
            } catch (const std::exception&) {
            }
            ::_exit(0);  // the parent's connection is not to be touched
        }
        ++children;
        return Done::by_child;
    }

    void answer(const xcb_selection_request_event_t& request) {
        const xcb_atom_t property = request.property ? request.property : request.target;
        if (request.target != x.atom("MULTIPLE")) {
            const Done done = convert(request, request.target, property, true);
            if (done != Done::by_child)
                tell(x, request, done == Done::yes ? property : static_cast<xcb_atom_t>(XCB_ATOM_NONE));
            return;
        }
        xcb_atom_t type;
        std::string pairs;
        try {
            pairs = x.take(request.requestor, property, type, false);
        } catch (const std::runtime_error&) {
            x.check(x.c);
            return;
        }
        for (std::size_t i = 0; i + 8 <= pairs.size(); i += 8) {
            xcb_atom_t pair[2];
            std::memcpy(pair, pairs.data() + i, 8);
            if (convert(request, pair[0], pair[1], false) == Done::no)
                std::memset(pairs.data() + i, 0, 4);
        }
        x.put(request.requestor, property, x.atom("ATOM_PAIR"), 32, pairs.data(), pairs.size() / 4);
        tell(x, request, property);
    }
};

}  // namespace

std::vector<std::string> types(milliseconds patience) {
    X x;
    Question question = question_to_owner(x, patience);
    return question.owner ? list(question) : std::vector<std::string>{};
}

std::string paste(const std::string& type, milliseconds patience) {
    X x;
    Question question = question_to_owner(x, patience);
    if (!question.owner)
        throw std::runtime_error("nothing was copied");
    std::string data;
    xcb_atom_t got;
    for (const char* form : type == "text/plain" ? std::vector<const char*>(std::begin(forms), std::end(forms)) : std::vector<const char*>{type.c_str()})
        if (question.ask(x.atom(form), data, got)) {
            if (type != "text/plain" || got != XCB_ATOM_STRING)
                return data;
            std::string text;
            for (const char c : data)
                if (static_cast<unsigned char>(c) < 0x80)
                    text += c;
                else {
                    text += static_cast<char>(0xc0 | (static_cast<unsigned char>(c) >> 6));
                    text += static_cast<char>(0x80 | (c & 0x3f));
                }
            return text;
        }
    std::string there;
    for (const std::string& one : list(question))
        there += " " + one;
    throw std::runtime_error("nobody offers " + type + ", only" + there);
}

void copy(const std::vector<Offer>& offers, milliseconds patience) {
    X x;
    Seller seller{x, offers, patience, 0, {}, 0};
    xcb_generic_event_t* event;
    x.put(x.window, x.atom("ALTERNATIVE"), XCB_ATOM_STRING, 8, "", 0);
    while (!seller.since && x.wait(event, ipc::Deadline())) {
        if (kind(event) == XCB_PROPERTY_NOTIFY)
            seller.since = reinterpret_cast<xcb_property_notify_event_t*>(event)->time;
        std::free(event);
    }
    xcb_set_selection_owner(x.c, x.window, x.atom("CLIPBOARD"), seller.since);
    if (x.owner() != x.window)
        throw std::runtime_error("somebody else was faster");
    // Ended children wake the same poll() as the server does.
    sigset_t child_signal;
    sigemptyset(&child_signal);
    sigaddset(&child_signal, SIGCHLD);
    ::sigprocmask(SIG_BLOCK, &child_signal, nullptr);
    const int ended = ipc::check(::signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
    ipc::say_ready();
    for (bool owner = true; owner || seller.children > 0;) {
        event = nullptr;
        x.wait(event, ipc::Deadline(), ended);
        if (event) {
            if (kind(event) == XCB_SELECTION_REQUEST)
                seller.answer(*reinterpret_cast<xcb_selection_request_event_t*>(event));
            owner = owner && kind(event) != XCB_SELECTION_CLEAR;
            std::free(event);
        }
        signalfd_siginfo info;
        while (::read(ended, &info, sizeof info) > 0) {
        }
        while (seller.children > 0 && ::waitpid(-1, nullptr, WNOHANG) > 0)
            --seller.children;
    }
    ::close(ended);
    x.owner();
}

void watch(const std::function<bool(Change)>& changed) {
    X x;
    const auto* extension = xcb_get_extension_data(x.c, &xcb_xfixes_id);
    if (!extension || !extension->present)
        throw std::runtime_error("no XFIXES here");
    std::free(xcb_xfixes_query_version_reply(x.c, xcb_xfixes_query_version(x.c, 5, 0), nullptr));
    xcb_xfixes_select_selection_input(x.c, xcb_setup_roots_iterator(xcb_get_setup(x.c)).data->root, x.atom("CLIPBOARD"), 7);
    x.owner();
    ipc::say_ready();
    for (bool more = true; more;) {
        xcb_generic_event_t* const event = xcb_wait_for_event(x.c);
        x.check(event);
        if (kind(event) == extension->first_event)
            more = changed(reinterpret_cast<xcb_xfixes_selection_notify_event_t*>(event)->owner ? Change::copied : Change::emptied);
        std::free(event);
    }
}

}  // namespace clipboard
