// Lab 04, posix track: the reference solution.

#include "clipboard.hpp"

#include "ipc/clock.hpp"
#include "ipc/error.hpp"
#include "ipc/program.hpp"
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <poll.h>
#include <stdexcept>
#include <string_view>
#include <xcb/xcb.h>
#include <xcb/xfixes.h>

namespace clipboard {
namespace {

using std::chrono::milliseconds;

// What libxcb hands out is to be freed.
struct Free {
    void operator()(void* memory) const { std::free(memory); }
};
template <class T>
using Received = std::unique_ptr<T, Free>;
using Event = Received<xcb_generic_event_t>;

template <class T>
const T& as(const Event& event) {
    return reinterpret_cast<const T&>(*event);
}
// Without the bit that says that another client has sent it.
int type_of(const Event& event) { return event->response_type & 0x7f; }

struct Property {
    xcb_atom_t type = XCB_ATOM_NONE;
    std::string bytes;
};

std::vector<xcb_atom_t> atoms_in(const std::string& bytes) {
    std::vector<xcb_atom_t> atoms(bytes.size() / sizeof(xcb_atom_t));
    std::copy_n(bytes.data(), atoms.size() * sizeof(xcb_atom_t), reinterpret_cast<char*>(atoms.data()));
    return atoms;
}

std::string bytes_of(const std::vector<xcb_atom_t>& atoms) {
    return std::string(reinterpret_cast<const char*>(atoms.data()), atoms.size() * sizeof(xcb_atom_t));
}

// A connection to the X server and a window of our own: windows own selections, and answers go to windows.
class Display {
public:
    Display() {
        const char* const name = std::getenv("DISPLAY");
        if (!name || !*name)
            throw std::runtime_error("DISPLAY is not set, so there is no clipboard; run this within X, or as: DISPLAY=:0 lab-04 …");
        int screen_number = 0;
        connection_.reset(::xcb_connect(nullptr, &screen_number));
        if (::xcb_connection_has_error(get()))
            throw std::runtime_error("xcb_connect(DISPLAY=" + std::string(name) + "): no X server is there, or it does not let us in; "
                                     "is DISPLAY right, and has 'xauth list' (XAUTHORITY) a key for it?");
        xcb_screen_iterator_t screen = ::xcb_setup_roots_iterator(::xcb_get_setup(get()));
        for (; screen_number > 0; --screen_number)
            ::xcb_screen_next(&screen);
        window = ::xcb_generate_id(get());
        const std::uint32_t events = XCB_EVENT_MASK_PROPERTY_CHANGE;
        ::xcb_create_window(get(), XCB_COPY_FROM_PARENT, window, screen.data->root, 0, 0, 1, 1, 0, XCB_WINDOW_CLASS_INPUT_ONLY,
                            XCB_COPY_FROM_PARENT, XCB_CW_EVENT_MASK, &events);
    }
    xcb_connection_t* get() const { return connection_.get(); }

    xcb_atom_t atom(const std::string& name) {
        xcb_atom_t& known = atoms_[name];
        if (known == XCB_ATOM_NONE)
            known = reply(::xcb_intern_atom_reply,
                          ::xcb_intern_atom(get(), 0, static_cast<std::uint16_t>(name.size()), name.data()))->atom;
        return known;
    }
    std::string name_of(xcb_atom_t atom) {
        const auto named = reply(::xcb_get_atom_name_reply, ::xcb_get_atom_name(get(), atom));
        return {::xcb_get_atom_name_name(named.get()), static_cast<std::size_t>(::xcb_get_atom_name_name_length(named.get()))};
    }
    xcb_window_t owner() {
        return reply(::xcb_get_selection_owner_reply, ::xcb_get_selection_owner(get(), atom("CLIPBOARD")))->owner;
    }
    // Reads a whole property; `remove` tells whoever wrote it that we have it.
    Property property(xcb_window_t of, xcb_atom_t name, bool remove) {
        const auto found = reply(::xcb_get_property_reply,
                                 ::xcb_get_property(get(), remove, of, name, XCB_GET_PROPERTY_TYPE_ANY, 0,
                                                    std::numeric_limits<std::uint32_t>::max() / 4));
        return {found->type, {static_cast<const char*>(::xcb_get_property_value(found.get())),
                              static_cast<std::size_t>(::xcb_get_property_value_length(found.get()))}};
    }
    void set_property(xcb_window_t of, xcb_atom_t name, xcb_atom_t type, std::string_view bytes, int format = 8) {
        ::xcb_change_property(get(), XCB_PROP_MODE_REPLACE, of, name, type, static_cast<std::uint8_t>(format),
                              static_cast<std::uint32_t>(bytes.size() * 8 / static_cast<unsigned>(format)), bytes.data());
    }
    void select_events(xcb_window_t of, std::uint32_t mask) {
        ::xcb_change_window_attributes(get(), of, XCB_CW_EVENT_MASK, &mask);
    }

    // The next event, blocking until then; none when the deadline comes first.
    Event next_event(ipc::Deadline deadline) {
        for (;;) {
            if (Event event{::xcb_poll_for_event(get())})
                return event;
            ::xcb_flush(get());
            throw_if_gone();  // no event, because there will never be one
            pollfd server{::xcb_get_file_descriptor(get()), POLLIN, 0};
            const int count = ::poll(&server, 1, deadline.poll_ms());
            if (count == 0)
                return nullptr;
            if (count == -1 && errno != EINTR)
                ipc::throw_last_error("poll");
        }
    }
    void throw_if_gone() const {
        if (const int error = ::xcb_connection_has_error(get()))
            throw std::runtime_error("the X server has closed the connection (libxcb error " + std::to_string(error) + "); has it ended?");
    }

    xcb_window_t window = XCB_WINDOW_NONE;

private:
    template <class Reply, class Cookie>
    Received<Reply> reply(Reply* (*wait)(xcb_connection_t*, Cookie, xcb_generic_error_t**), Cookie cookie) {
        xcb_generic_error_t* raw_error = nullptr;
        Received<Reply> answer(wait(get(), cookie, &raw_error));
        const Received<xcb_generic_error_t> error(raw_error);
        throw_if_gone();
        if (!answer)
            throw std::runtime_error("the X server refuses a request: error " + std::to_string(error ? error->error_code : 0));
        return answer;
    }
    struct Disconnect {
        void operator()(xcb_connection_t* connection) const { ::xcb_disconnect(connection); }
    };
    std::unique_ptr<xcb_connection_t, Disconnect> connection_;
    std::map<std::string, xcb_atom_t> atoms_;
};

// ---- types ------------------------------------------------------------------------------------------------------------

// The forms in which X programs hand text around, best first.
const std::vector<std::string> text_targets = {"UTF8_STRING", "text/plain;charset=utf-8", "text/plain", "TEXT", "STRING"};

// Targets that ask for something else than the data in some form.
const std::vector<std::string> requests = {"TARGETS", "MULTIPLE", "TIMESTAMP", "SAVE_TARGETS", "DELETE"};

template <class T>
bool contains(const std::vector<T>& all, const T& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
}

std::string utf8_from_latin1(std::string_view bytes) {
    std::string text;
    for (const char c : bytes) {
        const auto point = static_cast<unsigned char>(c);
        if (point < 0x80)
            text += c;
        else
            text.append({static_cast<char>(0xc0 | point >> 6), static_cast<char>(0x80 | (point & 0x3f))});
    }
    return text;
}

// ISO 8859-1 has the first 256 characters, which UTF-8 begins with C2 or C3; a '?' stands for each of the others.
std::string latin1_from_utf8(std::string_view text) {
    std::string bytes;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto first = static_cast<unsigned char>(text[i]);
        if (first < 0x80)
            bytes += text[i];
        else if (first == 0xc2 || first == 0xc3)
            bytes += static_cast<char>(first << 6 | (static_cast<unsigned char>(text[++i]) & 0x3f));
        else if (first >= 0xc0)
            bytes += '?';
    }
    return bytes;
}

// ---- pasting ----------------------------------------------------------------------------------------------------------

// The one who asks. The owner answers by a property of our window.
class Requestor {
public:
    Requestor(Display& display, milliseconds patience) : display_(display), patience_(patience), owner_(display.owner()) {
        // The server does not tell that an owner has died with our request in its hands; its window's end does.
        if (has_owner())
            display_.select_events(owner_, XCB_EVENT_MASK_STRUCTURE_NOTIFY);
    }
    bool has_owner() const { return owner_ != XCB_WINDOW_NONE; }

    // None if the owner refuses.
    std::optional<Property> ask(const std::string& target) {
        const xcb_atom_t answer = display_.atom("IPC_LABS_ANSWER");
        ::xcb_convert_selection(display_.get(), display_.window, display_.atom("CLIPBOARD"), display_.atom(target), answer,
                                XCB_CURRENT_TIME);
        const Event event = wait_for([&](const Event& one) {
            return type_of(one) == XCB_SELECTION_NOTIFY && as<xcb_selection_notify_event_t>(one).target == display_.atom(target);
        });
        if (as<xcb_selection_notify_event_t>(event).property == XCB_ATOM_NONE)
            return std::nullopt;
        Property all = display_.property(display_.window, answer, true);
        return all.type == display_.atom("INCR") ? in_pieces(answer) : all;
    }

private:
    // Having deleted the property, we are given the next piece, until one is empty.
    Property in_pieces(xcb_atom_t answer) {
        Property all;
        for (;;) {
            wait_for([&](const Event& one) {
                const auto& changed = as<xcb_property_notify_event_t>(one);
                return type_of(one) == XCB_PROPERTY_NOTIFY && changed.atom == answer && changed.state == XCB_PROPERTY_NEW_VALUE;
            });
            const Property piece = display_.property(display_.window, answer, true);
            if (piece.bytes.empty())
                return all;
            all.type = piece.type;
            all.bytes += piece.bytes;
        }
    }

    template <class Predicate>
    Event wait_for(Predicate is_it) {
        const ipc::Deadline deadline = ipc::Deadline::in(patience_);
        while (Event event = display_.next_event(deadline)) {
            if (is_it(event))
                return event;
            if (type_of(event) == XCB_DESTROY_NOTIFY && as<xcb_destroy_notify_event_t>(event).window == owner_)
                throw std::runtime_error("the program that owns the clipboard has ended before it gave its data; copy again");
        }
        throw std::runtime_error("the program that owns the clipboard has not answered within " + std::to_string(patience_.count()) +
                                 " ms; does it still run? (--timeout MS waits longer)");
    }

    Display& display_;
    milliseconds patience_;
    xcb_window_t owner_;
};

std::vector<std::string> targets(Display& display, Requestor& requestor) {
    std::vector<std::string> names;
    if (const std::optional<Property> answer = requestor.ask("TARGETS"))
        for (const xcb_atom_t atom : atoms_in(answer->bytes))
            if (atom != XCB_ATOM_NONE)
                names.push_back(display.name_of(atom));
    return names;
}

std::vector<std::string> types_of(const std::vector<std::string>& targets) {
    std::vector<std::string> types;
    for (const std::string& target : targets) {
        const std::string type = contains(text_targets, target) ? "text/plain" : target;
        if (!contains(requests, target) && !contains(types, type))
            types.push_back(type);
    }
    return types;
}

// The best of the targets on offer for a type; empty if there is none.
std::string target_for(const std::string& type, const std::vector<std::string>& targets) {
    if (type != "text/plain")
        return contains(targets, type) ? type : "";
    const auto best = std::find_if(text_targets.begin(), text_targets.end(), [&](const std::string& one) { return contains(targets, one); });
    return best == text_targets.end() ? "" : *best;
}

// ---- copying ----------------------------------------------------------------------------------------------------------

using Data = std::shared_ptr<const std::string>;

// Data on its way to one requestor in pieces.
struct Transfer {
    xcb_window_t requestor;
    xcb_atom_t property, type;
    Data data;
    std::size_t sent;
    ipc::Deadline deadline;
};

class Owner {
public:
    Owner(Display& display, const std::vector<Offer>& offers, milliseconds patience)
        : display_(display), offers_(offers), made_(offers.size()), patience_(patience) {
        since_ = current_time();
        ::xcb_set_selection_owner(display_.get(), display_.window, display_.atom("CLIPBOARD"), since_);
        // Nothing is answered to that request: who wants to know asks.
        if (display_.owner() != display_.window)
            throw std::runtime_error("another program has taken the clipboard at the same moment; copy again");
    }

    void serve() {
        bool owning = true;
        while (owning || !transfers_.empty()) {
            const Event event = display_.next_event(first_deadline());
            std::erase_if(transfers_, [](const Transfer& transfer) { return transfer.deadline.expired(); });
            if (!event)
                continue;
            switch (type_of(event)) {
            case XCB_SELECTION_REQUEST: answer(as<xcb_selection_request_event_t>(event)); break;
            case XCB_SELECTION_CLEAR: owning = false; break;
            case XCB_PROPERTY_NOTIFY: go_on(as<xcb_property_notify_event_t>(event)); break;
            case XCB_DESTROY_NOTIFY: forget(as<xcb_destroy_notify_event_t>(event).window); break;
            default: break;  // also an error: of a request to a window whose program has just died
            }
        }
        // The server drops what it has not yet read of a client that has gone. A round trip: it has read everything.
        display_.owner();
    }

private:
    static constexpr std::size_t piece_size = 256 * 1024;

    // A selection is taken 'since' a moment of the server's clock, which it tells with each change of a property.
    xcb_timestamp_t current_time() {
        display_.set_property(display_.window, display_.atom("IPC_LABS_TIME"), XCB_ATOM_STRING, "");
        for (;;) {
            const Event event = display_.next_event(ipc::Deadline());
            if (type_of(event) == XCB_PROPERTY_NOTIFY)
                return as<xcb_property_notify_event_t>(event).time;
        }
    }

    ipc::Deadline first_deadline() const {
        const auto first = std::min_element(transfers_.begin(), transfers_.end(), [](const Transfer& a, const Transfer& b) {
            return a.deadline.at() < b.deadline.at();
        });
        return first == transfers_.end() ? ipc::Deadline() : first->deadline;
    }

    void answer(const xcb_selection_request_event_t& request) {
        // Programs from before the ICCCM name no property; they expect the target's name there.
        const xcb_atom_t property = request.property == XCB_ATOM_NONE ? request.target : request.property;
        const bool done = request.target == display_.atom("MULTIPLE") ? convert_each(request.requestor, property)
                                                                      : convert(request.requestor, request.target, property);
        xcb_selection_notify_event_t notify{};
        notify.response_type = XCB_SELECTION_NOTIFY;
        notify.time = request.time;
        notify.requestor = request.requestor;
        notify.selection = request.selection;
        notify.target = request.target;
        if (done)
            notify.property = property;  // None refuses; without an answer it would wait for us
        ::xcb_send_event(display_.get(), 0, request.requestor, XCB_EVENT_MASK_NO_EVENT, reinterpret_cast<const char*>(&notify));
    }

    // Writes the property that was asked for; false if there is no such thing.
    bool convert(xcb_window_t requestor, xcb_atom_t target, xcb_atom_t property) {
        if (target == display_.atom("TARGETS")) {
            display_.set_property(requestor, property, XCB_ATOM_ATOM, bytes_of(all_targets()), 32);
            return true;
        }
        if (target == display_.atom("TIMESTAMP")) {
            display_.set_property(requestor, property, XCB_ATOM_INTEGER, bytes_of({since_}), 32);
            return true;
        }
        for (std::size_t i = 0; i < offers_.size(); ++i) {
            if (!contains(targets_of(offers_[i]), target))
                continue;
            Data data = made(i);
            if (!data)
                return false;
            xcb_atom_t type = target;
            if (offers_[i].type == "text/plain" && target == display_.atom("TEXT"))
                type = display_.atom("UTF8_STRING");  // TEXT leaves the choice to us
            if (offers_[i].type == "text/plain" && target == XCB_ATOM_STRING)
                data = std::make_shared<std::string>(latin1_from_utf8(*data));
            send(requestor, property, type, data);
            return true;
        }
        return false;
    }

    // MULTIPLE: the property holds pairs of a target and the property it shall go to.
    bool convert_each(xcb_window_t requestor, xcb_atom_t property) {
        std::vector<xcb_atom_t> pairs;
        try {
            pairs = atoms_in(display_.property(requestor, property, false).bytes);
        } catch (const std::runtime_error&) {
            display_.throw_if_gone();
            return false;  // the requestor has died meanwhile
        }
        for (std::size_t i = 0; i + 1 < pairs.size(); i += 2)
            if (!convert(requestor, pairs[i], pairs[i + 1]))
                pairs[i + 1] = XCB_ATOM_NONE;
        display_.set_property(requestor, property, display_.atom("ATOM_PAIR"), bytes_of(pairs), 32);
        return true;
    }

    std::vector<xcb_atom_t> targets_of(const Offer& offer) {
        if (offer.type != "text/plain")
            return {display_.atom(offer.type)};
        std::vector<xcb_atom_t> atoms;
        for (const std::string& name : text_targets)
            atoms.push_back(display_.atom(name));
        return atoms;
    }

    std::vector<xcb_atom_t> all_targets() {
        std::vector<xcb_atom_t> atoms = {display_.atom("TARGETS"), display_.atom("MULTIPLE"), display_.atom("TIMESTAMP")};
        for (const Offer& offer : offers_)
            for (const xcb_atom_t atom : targets_of(offer))
                atoms.push_back(atom);
        return atoms;
    }

    // The data of an offer, made at the first time; null if it cannot be made.
    Data made(std::size_t i) {
        if (!made_[i])
            try {
                made_[i] = std::make_shared<std::string>(offers_[i].render());
            } catch (const std::exception& error) {
                std::fprintf(stderr, "lab-04: %s cannot be pasted: %s\n", offers_[i].type.c_str(), error.what());
            }
        return made_[i];
    }

    void send(xcb_window_t requestor, xcb_atom_t property, xcb_atom_t type, const Data& data) {
        if (data->size() <= piece_size) {
            display_.set_property(requestor, property, type, *data);
            return;
        }
        // From now on we are told when it deletes the property, which asks for the next piece, and when it dies.
        display_.select_events(requestor, XCB_EVENT_MASK_PROPERTY_CHANGE | XCB_EVENT_MASK_STRUCTURE_NOTIFY);
        display_.set_property(requestor, property, display_.atom("INCR"), bytes_of({static_cast<xcb_atom_t>(data->size())}), 32);
        std::erase_if(transfers_, [&](const Transfer& one) { return one.requestor == requestor && one.property == property; });
        transfers_.push_back({requestor, property, type, data, 0, ipc::Deadline::in(patience_)});
    }

    void go_on(const xcb_property_notify_event_t& changed) {
        if (changed.state != XCB_PROPERTY_DELETE)
            return;
        const auto transfer = std::find_if(transfers_.begin(), transfers_.end(), [&](const Transfer& one) {
            return one.requestor == changed.window && one.property == changed.atom;
        });
        if (transfer == transfers_.end())
            return;
        const std::string_view piece = std::string_view(*transfer->data).substr(transfer->sent, piece_size);
        display_.set_property(transfer->requestor, transfer->property, transfer->type, piece);
        transfer->sent += piece.size();
        transfer->deadline = ipc::Deadline::in(patience_);
        if (piece.empty())  // that was the end, and has been said
            transfers_.erase(transfer);
    }

    void forget(xcb_window_t requestor) {
        std::erase_if(transfers_, [&](const Transfer& transfer) { return transfer.requestor == requestor; });
    }

    Display& display_;
    const std::vector<Offer>& offers_;
    std::vector<Data> made_;
    milliseconds patience_;
    xcb_timestamp_t since_ = XCB_CURRENT_TIME;
    std::vector<Transfer> transfers_;
};

}  // namespace

std::vector<std::string> types(milliseconds patience) {
    Display display;
    Requestor requestor(display, patience);
    if (!requestor.has_owner())
        return {};
    return types_of(targets(display, requestor));
}

std::string paste(const std::string& type, milliseconds patience) {
    Display display;
    Requestor requestor(display, patience);
    if (!requestor.has_owner())
        throw std::runtime_error("the clipboard is empty: nobody owns it; copy something first");
    const std::vector<std::string> offered = targets(display, requestor);
    const std::string target = target_for(type, offered);
    if (target.empty()) {
        std::string list;
        for (const std::string& one : types_of(offered))
            list += (list.empty() ? "" : ", ") + one;
        throw std::runtime_error(type + " is not on the clipboard; there is: " + list);
    }
    const std::optional<Property> answer = requestor.ask(target);
    if (!answer)
        throw std::runtime_error("the program that owns the clipboard refuses to give it as " + type + ", which it had offered");
    return type == "text/plain" && answer->type == XCB_ATOM_STRING ? utf8_from_latin1(answer->bytes) : answer->bytes;
}

void copy(const std::vector<Offer>& offers, milliseconds patience) {
    Display display;
    Owner owner(display, offers, patience);
    ipc::say_ready();
    owner.serve();
}

void watch(const std::function<bool(Change)>& changed) {
    Display display;
    const xcb_query_extension_reply_t* const xfixes = ::xcb_get_extension_data(display.get(), &xcb_xfixes_id);
    if (!xfixes || !xfixes->present)
        throw std::runtime_error("this X server has no XFIXES extension, without which nobody is told of changes");
    // The server refuses every request of the extension before it knows which version we speak.
    Received<xcb_xfixes_query_version_reply_t>(
        ::xcb_xfixes_query_version_reply(display.get(), ::xcb_xfixes_query_version(display.get(), 1, 0), nullptr));
    ::xcb_xfixes_select_selection_input(display.get(), display.window, display.atom("CLIPBOARD"),
                                        XCB_XFIXES_SELECTION_EVENT_MASK_SET_SELECTION_OWNER |
                                            XCB_XFIXES_SELECTION_EVENT_MASK_SELECTION_WINDOW_DESTROY |
                                            XCB_XFIXES_SELECTION_EVENT_MASK_SELECTION_CLIENT_CLOSE);
    display.owner();  // a round trip: what was asked before has been done
    ipc::say_ready();

    for (;;) {
        const Event event = display.next_event(ipc::Deadline());
        if (type_of(event) != xfixes->first_event + XCB_XFIXES_SELECTION_NOTIFY)
            continue;
        const bool owned = as<xcb_xfixes_selection_notify_event_t>(event).owner != XCB_WINDOW_NONE;
        if (!changed(owned ? Change::copied : Change::emptied))
            return;
    }
}

}  // namespace clipboard
