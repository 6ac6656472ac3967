#include "launcher/http/load_generator.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <limits>

#include "launcher/bench/arrivals.h"

namespace terrace {
namespace {

namespace asio = boost::asio;
using SteadyClock = std::chrono::steady_clock;

constexpr auto kLook = std::chrono::milliseconds(100);

class Generator {
 public:
  Generator(StreamClient& client, const LoadSource& source, const LoadPlan& plan, const std::function<bool(const LoadProgress&)>& keep_on)
      : client_(client), source_(source), plan_(plan), keep_on_(keep_on), most_(plan.requests.value_or(plan.seconds ? kEndless : source.size().value_or(kEndless))) {}

  LoadResult run() {
    begun_at_ = SteadyClock::now();
    if (plan_.concurrency) {
      result_.client_pieces.resize(static_cast<size_t>(std::min<int64_t>(*plan_.concurrency, most_)));
      for (size_t client = 0; client < result_.client_pieces.size(); ++client) spawn(ask_in_turn(client));
    } else {
      spawn(ask_at_times());
    }
    asio::co_spawn(io_, watch(), asio::detached);
    io_.run();
    return std::move(result_);
  }

 private:
  static constexpr int64_t kEndless = std::numeric_limits<int64_t>::max();

  double now() const { return std::chrono::duration<double>(SteadyClock::now() - begun_at_).count(); }
  bool time_is_up() const { return plan_.seconds && now() >= *plan_.seconds; }
  bool wanted() const { return progress_.begun < most_ && !time_is_up(); }

  /// The test ends with the last of these.
  void spawn(asio::awaitable<void> part) {
    ++parts_;
    asio::co_spawn(io_, std::move(part), [this](const std::exception_ptr& failure) {
      if (--parts_ == 0 || failure) io_.stop();
      if (failure) std::rethrow_exception(failure);
    });
  }

  asio::awaitable<void> ask(LoadRequest request, double due, size_t client) {
    LoadOutcome outcome;
    outcome.due = due;
    outcome.started = now();
    const StreamClient::Now clock = [this] { return now(); };
    const std::function<void()> on_piece = [this, client] {
      ++progress_.pieces;
      if (client < result_.client_pieces.size() && !time_is_up()) ++result_.client_pieces[client];
    };
    co_await client_.complete(request, clock, on_piece, outcome);
    ++progress_.ended;
    progress_.failed += outcome.error.empty() ? 0 : 1;
    result_.outcomes.push_back(std::move(outcome));
  }

  asio::awaitable<void> ask_in_turn(size_t client) {
    asio::steady_timer pause(io_);
    while (wanted()) {
      LoadRequest request = source_.request(progress_.begun++);
      const double due = now();
      co_await ask(std::move(request), due, client);
      if (result_.outcomes.back().error.empty()) continue;  // this one's own: nothing has run since
      pause.expires_after(kLook);                           // a server that refuses at once is not to be flooded
      co_await pause.async_wait(asio::use_awaitable);
    }
  }

  asio::awaitable<void> ask_at_times() {
    PoissonArrivals arrivals(plan_.rate.value_or(1), plan_.seed);
    asio::steady_timer timer(io_);
    while (wanted()) {
      LoadRequest request = source_.request(progress_.begun);
      const double due = plan_.rate ? arrivals.next() : request.at_seconds.value_or(0);
      if (plan_.seconds && due >= *plan_.seconds) co_return;
      timer.expires_at(begun_at_ + std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(due)));
      co_await timer.async_wait(asio::use_awaitable);
      ++progress_.begun;
      spawn(ask(std::move(request), due, kNoClient));
    }
  }

  double fraction() const {
    const double by_number = most_ == kEndless ? 0 : static_cast<double>(progress_.ended) / static_cast<double>(most_);
    return std::max(by_number, plan_.seconds ? std::min(1.0, now() / *plan_.seconds) : 0.0);
  }

  asio::awaitable<void> watch() {
    asio::steady_timer timer(io_);
    while (true) {
      progress_.seconds = now();
      progress_.fraction = fraction();
      if (!keep_on_(progress_)) co_return io_.stop();
      timer.expires_after(kLook);
      co_await timer.async_wait(asio::use_awaitable);
    }
  }

  static constexpr size_t kNoClient = std::numeric_limits<size_t>::max();

  StreamClient& client_;
  const LoadSource& source_;
  const LoadPlan& plan_;
  const std::function<bool(const LoadProgress&)>& keep_on_;
  const int64_t most_;
  SteadyClock::time_point begun_at_;
  int64_t parts_ = 0;
  LoadProgress progress_;
  LoadResult result_;
  asio::io_context io_{1};  // first to go: what waits in it refers to the rest
};

}  // namespace

LoadResult run_load(StreamClient& client, const LoadSource& source, const LoadPlan& plan, const std::function<bool(const LoadProgress&)>& keep_on) {
  return Generator(client, source, plan, keep_on).run();
}

}  // namespace terrace
