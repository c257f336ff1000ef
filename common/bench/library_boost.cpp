// boost::interprocess::message_queue: one queue for a stream, two for round trips. As deep as the ring of lab
// 05, 1 MiB, but at least two messages.

#include "link.hpp"
#include <algorithm>
#include <boost/interprocess/ipc/message_queue.hpp>

namespace {

using namespace bench;
using boost::interprocess::create_only, boost::interprocess::open_only, boost::interprocess::message_queue;

class Queues {
public:
    Queues(const Setting& setting, bool makes)
        : there_name_(setting.name + ".there"), back_name_(setting.name + ".back"), makes_(makes),
          there_(opened(there_name_, setting)), back_(opened(back_name_, setting)) {}
    ~Queues() {
        if (makes_)
            for (const std::string& name : {there_name_, back_name_})
                message_queue::remove(name.c_str());
    }
    Queues(const Queues&) = delete;
    void send(std::string_view message) { (makes_ ? back_ : there_).send(message.data(), message.size(), 0); }
    void receive(std::string& message) {
        message_queue::size_type size = 0;
        unsigned priority = 0;
        (makes_ ? there_ : back_).receive(message.data(), message.size(), size, priority);
    }

private:
    message_queue opened(const std::string& name, const Setting& setting) const {
        if (makes_)
            return {create_only, name.c_str(), std::max<std::size_t>(2, (1 << 20) / setting.size),
                    setting.size};
        return {open_only, name.c_str()};
    }
    std::string there_name_, back_name_;
    bool makes_;
    message_queue there_, back_;
};

}  // namespace

int main(int argc, char** argv) {
    return run_link<Queues>(argc, argv);
}
