#include "runtime/cache/disk_tier.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "runtime/cache/page_checksum.h"

namespace terrace {
namespace {

constexpr int64_t kWaitUs = 100'000;  // how soon a late request is noticed

}  // namespace

DiskTier::DiskTier(const DiskOptions& options, size_t page_bytes, Clock& clock)
    : options_(options), page_bytes_(page_bytes), clock_(clock), copy_page_(choose_copy_page(detect_isa())),
      file_(options.path, {options.digest, page_bytes, options.num_frames, options.page_tokens}), stamps_(options.num_frames),
      buffers_(static_cast<std::byte*>(std::aligned_alloc(4096, page_bytes * options.num_slots)), std::free) {
  if (buffers_ == nullptr) throw Error(ErrorCode::kOutOfMemory, "no memory for the disk tier's buffers: give the process more, or set cache.disk off");
  slots_.resize(options.num_slots);
  for (uint32_t i = 0; i < options.num_slots; ++i) slots_[i].buffer = buffers_.get() + i * page_bytes;
  recover();
  io_ = options.make_io ? options.make_io(file_.page_fd(), options.num_slots)
                        : make_disk_io(options.io, file_.page_fd(), options.num_slots);
  thread_ = std::thread([this] { run(); });
}

DiskTier::~DiskTier() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  started_.notify_one();
  thread_.join();
  io_.reset();  // before the buffers that the kernel may still fill
}

void DiskTier::recover() {
  std::vector<std::optional<TableRecord>> table = file_.read_table();
  for (uint32_t frame = 0; frame < table.size(); ++frame) {
    if (!table[frame]) continue;
    last_sequence_ = std::max(last_sequence_, table[frame]->sequence);
    stamps_[frame] = table[frame]->stamp;
    recovered_.push_back({frame, std::move(table[frame]->page)});
  }
}

void DiskTier::start(std::vector<DiskTransfer> transfers) {
  {
    const std::lock_guard lock(mutex_);
    std::move(transfers.begin(), transfers.end(), std::back_inserter(waiting_));
  }
  started_.notify_one();
}

std::vector<DiskResult> DiskTier::take_results() {
  const std::lock_guard lock(mutex_);
  return std::exchange(results_, {});
}

void DiskTier::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    const bool under_way = num_in_state(Slot::State::kUnderWay) > 0;
    if (!under_way) started_.wait(lock, [&] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    while (!waiting_.empty()) {
      std::optional<uint32_t> slot = free_slot();
      if (!slot && num_in_state(Slot::State::kUnderWay) > 0) break;
      DiskTransfer transfer = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      if (!slot) {  // all are lost, but a disk that hung may have answered since
        for (const DiskCompletion& completion : io_->wait(0)) complete(completion);
        slot = free_slot();
      }
      slot ? begin(*slot, std::move(transfer)) : end(transfer, MoveOutcome::kIo);
      lock.lock();
    }
    lock.unlock();
    if (num_in_state(Slot::State::kUnderWay) > 0) {
      for (const DiskCompletion& completion : io_->wait(kWaitUs)) complete(completion);
      give_up_late_ones();
    }
    lock.lock();
  }
}

void DiskTier::begin(uint32_t index, DiskTransfer transfer) {
  Slot& slot = slots_[index];
  const uint32_t frame = transfer.frame;
  if (transfer.write) {
    if (page_stamp(copy_page_(slot.buffer, transfer.host_page, page_bytes_), transfer.key) != transfer.stamp) {
      return end(transfer, MoveOutcome::kChecksum);
    }
    stamps_[frame].reset();
    file_.clear_record(frame);
  } else if (!stamps_[frame]) {
    return end(transfer, MoveOutcome::kChecksum);
  }
  const bool write = transfer.write;
  slot = {slot.buffer, Slot::State::kUnderWay, std::move(transfer), clock_.now_us() + options_.timeout_us};
  io_->submit({index, write, slot.buffer, page_bytes_, file_.geometry().page_offset(frame)});
}

void DiskTier::complete(const DiskCompletion& completion) {
  Slot& slot = slots_.at(completion.slot);
  const bool is_late = slot.state != Slot::State::kUnderWay;  // reported long ago, and its frame may be another page's
  const MoveOutcome outcome = is_late ? MoveOutcome::kIo : finish(slot, completion.result);
  slot.state = Slot::State::kFree;
  if (!is_late) end(slot.transfer, outcome);
}

MoveOutcome DiskTier::finish(const Slot& slot, int64_t result) {
  const DiskTransfer& transfer = slot.transfer;
  if (result != static_cast<int64_t>(page_bytes_)) return MoveOutcome::kIo;
  if (transfer.write) {
    file_.write_record(transfer.frame, {++last_sequence_, transfer.stamp, transfer.record});
    stamps_[transfer.frame] = transfer.stamp;
    return MoveOutcome::kDone;
  }
  const uint64_t stamp = page_stamp(copy_page_(transfer.host_page, slot.buffer, page_bytes_), transfer.key);
  return stamps_[transfer.frame] == stamp ? MoveOutcome::kDone : MoveOutcome::kChecksum;
}

void DiskTier::give_up_late_ones() {
  for (Slot& slot : slots_) {
    if (slot.state != Slot::State::kUnderWay || clock_.now_us() < slot.give_up_us) continue;
    slot.state = Slot::State::kLost;
    end(slot.transfer, MoveOutcome::kIo);
  }
}

void DiskTier::end(const DiskTransfer& transfer, MoveOutcome outcome) {
  const std::lock_guard lock(mutex_);
  results_.push_back({transfer.id, outcome, stamps_[transfer.frame].value_or(0), clock_.now_us()});
}

std::optional<uint32_t> DiskTier::free_slot() const {
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].state == Slot::State::kFree) return i;
  }
  return std::nullopt;
}

size_t DiskTier::num_in_state(Slot::State state) const {
  return static_cast<size_t>(std::count_if(slots_.begin(), slots_.end(), [&](const Slot& slot) { return slot.state == state; }));
}

}  // namespace terrace
