// Lab 04, posix track, written differently: a thread takes the events from libxcb and queues them; whoever waits does so at the
// queue, with a condition variable. Offers are rendered in threads, so that a slow one delays nobody.

#include "clipboard.hpp"

#include "ipc/program.hpp"
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <thread>
#include <xcb/xcb.h>
#include <xcb/xfixes.h>

namespace clipboard {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Bytes = std::shared_ptr<const std::string>;

template <class T>
std::shared_ptr<T> held(T* raw) {
    return {raw, [](T* memory) { std::free(memory); }};
}

using Event = std::shared_ptr<xcb_generic_event_t>;

class Session {
public:
    Session() : connection_(xcb_connect(nullptr, nullptr)) {
        if (xcb_connection_has_error(connection_)) {
            xcb_disconnect(connection_);
            throw std::runtime_error("no X server lets us in; look at DISPLAY and XAUTHORITY");
        }
        window = xcb_generate_id(connection_);
        const std::uint32_t mask = XCB_EVENT_MASK_PROPERTY_CHANGE;
        xcb_create_window(connection_, 0, window, root(), -1, -1, 1, 1, 0, XCB_WINDOW_CLASS_INPUT_OUTPUT, 0, XCB_CW_EVENT_MASK, &mask);
        clipboard = atom("CLIPBOARD");
        stop_ = atom("ALTERNATIVE_STOP");
        thread_ = std::thread([this] { collect(); });
    }
    Session(const Session&) = delete;
    ~Session() {
        // An event from ourselves ends the thread, which is blocked in libxcb.
        xcb_client_message_event_t end{};
        end.response_type = XCB_CLIENT_MESSAGE;
        end.format = 32;
        end.window = window;
        end.type = stop_;
        xcb_send_event(connection_, 0, window, 0, reinterpret_cast<const char*>(&end));
        xcb_flush(connection_);
        thread_.join();
        xcb_disconnect(connection_);
    }

    xcb_connection_t* x() const { return connection_; }
    xcb_window_t root() const { return xcb_setup_roots_iterator(xcb_get_setup(connection_)).data->root; }
    xcb_atom_t atom(const std::string& name) {
        return need(held(xcb_intern_atom_reply(x(), xcb_intern_atom(x(), 0, static_cast<std::uint16_t>(name.size()), name.data()), nullptr)))->atom;
    }
    std::string name(xcb_atom_t atom) {
        const auto reply = need(held(xcb_get_atom_name_reply(x(), xcb_get_atom_name(x(), atom), nullptr)));
        return {xcb_get_atom_name_name(reply.get()), static_cast<std::size_t>(xcb_get_atom_name_name_length(reply.get()))};
    }
    xcb_window_t owner() { return need(held(xcb_get_selection_owner_reply(x(), xcb_get_selection_owner(x(), clipboard), nullptr)))->owner; }
    template <class T>
    std::shared_ptr<T> need(std::shared_ptr<T> reply) {
        if (!reply)
            throw std::runtime_error("the X server is gone, or has refused");
        return reply;
    }
    std::string property(xcb_window_t of, xcb_atom_t name, bool remove, xcb_atom_t& type) {
        const auto reply = need(held(xcb_get_property_reply(x(), xcb_get_property(x(), remove, of, name, 0, 0, 1u << 26), nullptr)));
        type = reply->type;
        return {static_cast<char*>(xcb_get_property_value(reply.get())), static_cast<std::size_t>(xcb_get_property_value_length(reply.get()))};
    }
    void set(xcb_window_t of, xcb_atom_t name, xcb_atom_t type, int format, const void* data, std::size_t count) {
        xcb_change_property(x(), XCB_PROP_MODE_REPLACE, of, name, type, static_cast<std::uint8_t>(format), static_cast<std::uint32_t>(count), data);
    }

    // The next event that is wanted; the others are forgotten. Null if it has not come by `until`.
    Event wait(const std::function<bool(const xcb_generic_event_t&)>& wanted, std::optional<steady_clock::time_point> until) {
        xcb_flush(x());
        std::unique_lock lock(mutex_);
        for (;;) {
            while (!events_.empty()) {
                const Event event = events_.front();
                events_.pop_front();
                if (wanted(*event))
                    return event;
            }
            if (over_)
                throw std::runtime_error("the X server has closed the connection");
            if (!until)
                changed_.wait(lock);
            else if (changed_.wait_until(lock, *until) == std::cv_status::timeout && events_.empty())
                return nullptr;
        }
    }

    xcb_window_t window = 0;
    xcb_atom_t clipboard = 0;

private:
    void collect() {
        while (Event event = held(xcb_wait_for_event(connection_))) {
            const auto& message = reinterpret_cast<const xcb_client_message_event_t&>(*event);
            if ((event->response_type & 0x7f) == XCB_CLIENT_MESSAGE && message.type == stop_)
                return;
            const std::lock_guard lock(mutex_);
            events_.push_back(event);
            changed_.notify_all();
        }
        const std::lock_guard lock(mutex_);
        over_ = true;
        changed_.notify_all();
    }

    xcb_connection_t* connection_;
    xcb_atom_t stop_ = 0;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Event> events_;
    bool over_ = false;
    std::thread thread_;
};

int kind(const xcb_generic_event_t& event) { return event.response_type & 0x7f; }

const std::vector<std::string> forms = {"UTF8_STRING", "text/plain;charset=utf-8", "text/plain", "TEXT", "STRING"};
const std::set<std::string> questions = {"TARGETS", "MULTIPLE", "TIMESTAMP", "SAVE_TARGETS", "DELETE"};

bool one_of(const std::vector<std::string>& all, const std::string& one) { return std::count(all.begin(), all.end(), one) > 0; }

class Buyer {
public:
    explicit Buyer(milliseconds patience) : patience_(patience), owner_(session_.owner()), answer_(session_.atom("ALTERNATIVE_ANSWER")) {
        const std::uint32_t mask = XCB_EVENT_MASK_STRUCTURE_NOTIFY;
        if (owner_)
            xcb_change_window_attributes(session_.x(), owner_, XCB_CW_EVENT_MASK, &mask);
    }
    bool nobody() const { return owner_ == 0; }
    std::optional<std::string> ask(const std::string& target, xcb_atom_t& type) {
        xcb_convert_selection(session_.x(), session_.window, session_.clipboard, session_.atom(target), answer_, XCB_CURRENT_TIME);
        const Event told = next([](const xcb_generic_event_t& event) { return kind(event) == XCB_SELECTION_NOTIFY; });
        if (reinterpret_cast<const xcb_selection_notify_event_t&>(*told).property == 0)
            return std::nullopt;
        std::string all = session_.property(session_.window, answer_, true, type);
        if (type != session_.atom("INCR"))
            return all;
        all.clear();
        for (;;) {
            next([&](const xcb_generic_event_t& event) {
                const auto& changed = reinterpret_cast<const xcb_property_notify_event_t&>(event);
                return kind(event) == XCB_PROPERTY_NOTIFY && changed.atom == answer_ && changed.state == XCB_PROPERTY_NEW_VALUE;
            });
            const std::string piece = session_.property(session_.window, answer_, true, type);
            if (piece.empty())
                return all;
            all += piece;
        }
    }
    std::vector<std::string> targets() {
        xcb_atom_t type;
        std::vector<std::string> names;
        if (const auto list = ask("TARGETS", type))
            for (std::size_t i = 0; i + 4 <= list->size(); i += 4) {
                xcb_atom_t atom;
                std::copy_n(list->data() + i, 4, reinterpret_cast<char*>(&atom));
                names.push_back(session_.name(atom));
            }
        return names;
    }

private:
    Event next(const std::function<bool(const xcb_generic_event_t&)>& wanted) {
        const auto gone = [&](const xcb_generic_event_t& event) {
            return kind(event) == XCB_DESTROY_NOTIFY && reinterpret_cast<const xcb_destroy_notify_event_t&>(event).window == owner_;
        };
        const Event event = session_.wait([&](const xcb_generic_event_t& one) { return wanted(one) || gone(one); }, steady_clock::now() + patience_);
        if (!event)
            throw std::runtime_error("the owner of the clipboard is silent for " + std::to_string(patience_.count()) + " ms");
        if (gone(*event))
            throw std::runtime_error("the owner of the clipboard has ended");
        return event;
    }
    Session session_;
    milliseconds patience_;
    xcb_window_t owner_;
    xcb_atom_t answer_;
};

std::vector<std::string> names_of(const std::vector<std::string>& targets) {
    std::vector<std::string> names;
    for (const std::string& target : targets) {
        const std::string name = one_of(forms, target) ? "text/plain" : target;
        if (!questions.contains(name) && !one_of(names, name))
            names.push_back(name);
    }
    return names;
}

std::string latin1(const std::string& text) {
    std::string bytes;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const unsigned c = static_cast<unsigned char>(text[i]);
        if (c < 0x80)
            bytes += text[i];
        else if (c < 0xc0)
            continue;
        else if (c < 0xc4)
            bytes += static_cast<char>((c & 3) << 6 | (static_cast<unsigned char>(text[i + 1]) & 0x3f));
        else
            bytes += '?';
    }
    return bytes;
}

// What is to be written to one property of one window.
struct Delivery {
    xcb_window_t to;
    xcb_atom_t property, type;
    Bytes bytes;
    std::size_t sent;
    steady_clock::time_point until;
};

class Seller {
public:
    Seller(const std::vector<Offer>& offers, milliseconds patience) : offers_(offers), patience_(patience), made_(offers.size()) {
        session_.set(session_.window, session_.atom("ALTERNATIVE_TIME"), XCB_ATOM_STRING, 8, "", 0);
        const Event event = session_.wait([](const xcb_generic_event_t& one) { return kind(one) == XCB_PROPERTY_NOTIFY; }, {});
        since_ = reinterpret_cast<const xcb_property_notify_event_t&>(*event).time;
        xcb_set_selection_owner(session_.x(), session_.window, session_.clipboard, since_);
        if (session_.owner() != session_.window)
            throw std::runtime_error("the clipboard went to another program");
    }
    void serve() {
        for (bool lost = false; !lost || !deliveries_.empty();) {
            std::optional<steady_clock::time_point> until;
            for (const Delivery& one : deliveries_)
                until = std::min(until.value_or(one.until), one.until);
            const Event event = session_.wait([](const xcb_generic_event_t&) { return true; }, until);
            std::erase_if(deliveries_, [](const Delivery& one) { return one.until < steady_clock::now(); });
            if (!event)
                continue;
            if (kind(*event) == XCB_SELECTION_CLEAR)
                lost = true;
            else if (kind(*event) == XCB_SELECTION_REQUEST)
                answer(reinterpret_cast<const xcb_selection_request_event_t&>(*event));
            else if (kind(*event) == XCB_DESTROY_NOTIFY)
                std::erase_if(deliveries_, [&](const Delivery& one) { return one.to == reinterpret_cast<const xcb_destroy_notify_event_t&>(*event).window; });
            else if (kind(*event) == XCB_PROPERTY_NOTIFY)
                go_on(reinterpret_cast<const xcb_property_notify_event_t&>(*event));
        }
        session_.owner();
    }

private:
    static constexpr std::size_t part = 200'000;

    void answer(const xcb_selection_request_event_t& request) {
        const xcb_atom_t property = request.property ? request.property : request.target;
        bool fine = true;
        if (request.target != session_.atom("MULTIPLE"))
            fine = give(request.requestor, request.target, property);
        else
            try {
                xcb_atom_t type;
                std::string pairs = session_.property(request.requestor, property, false, type);
                for (std::size_t i = 0; i + 8 <= pairs.size(); i += 8) {
                    xcb_atom_t pair[2];
                    std::copy_n(pairs.data() + i, 8, reinterpret_cast<char*>(pair));
                    if (!give(request.requestor, pair[0], pair[1]))
                        std::fill_n(pairs.data() + i + 4, 4, '\0');
                }
                session_.set(request.requestor, property, session_.atom("ATOM_PAIR"), 32, pairs.data(), pairs.size() / 4);
            } catch (const std::runtime_error&) {
                fine = false;  // it died; or the server did, which the next wait tells
            }
        xcb_selection_notify_event_t told{};
        told.response_type = XCB_SELECTION_NOTIFY;
        told.time = request.time;
        told.requestor = request.requestor;
        told.selection = request.selection;
        told.target = request.target;
        told.property = fine ? property : 0u;
        xcb_send_event(session_.x(), 0, request.requestor, 0, reinterpret_cast<const char*>(&told));
    }

    bool give(xcb_window_t to, xcb_atom_t target, xcb_atom_t property) {
        const std::string name = session_.name(target);
        if (name == "TIMESTAMP") {
            session_.set(to, property, XCB_ATOM_INTEGER, 32, &since_, 1);
            return true;
        }
        if (name == "TARGETS") {
            std::vector<xcb_atom_t> all;
            for (const char* question : {"TARGETS", "TIMESTAMP", "MULTIPLE"})
                all.push_back(session_.atom(question));
            for (const Offer& offer : offers_)
                for (const std::string& form : offer.type == "text/plain" ? forms : std::vector<std::string>{offer.type})
                    all.push_back(session_.atom(form));
            session_.set(to, property, XCB_ATOM_ATOM, 32, all.data(), all.size());
            return true;
        }
        for (std::size_t i = 0; i < offers_.size(); ++i) {
            const bool text = offers_[i].type == "text/plain";
            if (name != offers_[i].type && !(text && one_of(forms, name)))
                continue;
            Bytes bytes = made(i);
            if (!bytes)
                return false;
            if (text && name == "STRING")
                bytes = std::make_shared<std::string>(latin1(*bytes));
            deliver(to, property, text && name == "TEXT" ? session_.atom("UTF8_STRING") : target, bytes);
            return true;
        }
        return false;
    }

    Bytes made(std::size_t i) {
        if (!made_[i]) {
            std::thread maker([&] {
                try {
                    made_[i] = std::make_shared<std::string>(offers_[i].render());
                } catch (const std::exception& error) {
                    std::fprintf(stderr, "lab-04: %s\n", error.what());
                }
            });
            maker.join();
        }
        return made_[i];
    }

    void deliver(xcb_window_t to, xcb_atom_t property, xcb_atom_t type, const Bytes& bytes) {
        if (bytes->size() <= part) {
            session_.set(to, property, type, 8, bytes->data(), bytes->size());
            return;
        }
        const std::uint32_t mask = XCB_EVENT_MASK_PROPERTY_CHANGE | XCB_EVENT_MASK_STRUCTURE_NOTIFY, size = 1;
        xcb_change_window_attributes(session_.x(), to, XCB_CW_EVENT_MASK, &mask);
        session_.set(to, property, session_.atom("INCR"), 32, &size, 1);
        deliveries_.push_back({to, property, type, bytes, 0, steady_clock::now() + patience_});
    }

    void go_on(const xcb_property_notify_event_t& changed) {
        for (Delivery& one : deliveries_)
            if (one.to == changed.window && one.property == changed.atom && changed.state == XCB_PROPERTY_DELETE) {
                const std::size_t size = std::min(part, one.bytes->size() - one.sent);
                session_.set(one.to, one.property, one.type, 8, one.bytes->data() + one.sent, size);
                one.sent += size;
                one.until = steady_clock::now() + patience_;
                if (size == 0)
                    one.to = 0;
            }
        std::erase_if(deliveries_, [](const Delivery& one) { return one.to == 0; });
    }

    Session session_;
    const std::vector<Offer>& offers_;
    milliseconds patience_;
    std::vector<Bytes> made_;
    xcb_timestamp_t since_ = 0;
    std::vector<Delivery> deliveries_;
};

}  // namespace

std::vector<std::string> types(milliseconds patience) {
    Buyer buyer(patience);
    return buyer.nobody() ? std::vector<std::string>{} : names_of(buyer.targets());
}

std::string paste(const std::string& type, milliseconds patience) {
    Buyer buyer(patience);
    if (buyer.nobody())
        throw std::runtime_error("the clipboard is empty");
    const std::vector<std::string> targets = buyer.targets();
    std::string list;
    for (const std::string& name : names_of(targets))
        list += " " + name;
    xcb_atom_t got;
    for (const std::string& form : type == "text/plain" ? forms : std::vector<std::string>{type})
        if (one_of(targets, form))
            if (const auto data = buyer.ask(form, got))
                return *data;
    throw std::runtime_error(type + " is not to be had; there is" + list);
}

void copy(const std::vector<Offer>& offers, milliseconds patience) {
    Seller seller(offers, patience);
    ipc::say_ready();
    seller.serve();
}

void watch(const std::function<bool(Change)>& changed) {
    Session session;
    const auto* extension = xcb_get_extension_data(session.x(), &xcb_xfixes_id);
    session.need(held(xcb_xfixes_query_version_reply(session.x(), xcb_xfixes_query_version(session.x(), 2, 0), nullptr)));
    xcb_xfixes_select_selection_input(session.x(), session.window, session.clipboard, 7);
    session.owner();
    ipc::say_ready();
    for (bool more = true; more;) {
        const Event event = session.wait([&](const xcb_generic_event_t& one) { return kind(one) == extension->first_event; }, {});
        more = changed(reinterpret_cast<const xcb_xfixes_selection_notify_event_t&>(*event).owner ? Change::copied : Change::emptied);
    }
}

}  // namespace clipboard
