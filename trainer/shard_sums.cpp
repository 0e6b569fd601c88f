#include "trainer/shard_sums.h"

#include "core/comm/agree.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstring>

namespace assay {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::int64_t kGrain = 1 << 16;  // Floats that a thread takes at least.

// What a message starts with; a failure's text or the payload follows.
struct Header {
  std::int64_t failed = 0;
  std::int64_t value = 0;  // Wish to stop, or first bad shard.
};

Bytes message(const Header& header, std::span<const std::byte> payload) {
  const auto head = std::as_bytes(std::span(&header, 1));
  Bytes bytes;
  bytes.reserve(head.size() + payload.size());
  bytes.insert(bytes.end(), head.begin(), head.end());
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

Bytes failure_message(const std::string& failure) {
  return message({.failed = 1}, std::as_bytes(std::span(failure)));
}

Header header_of(const Bytes& bytes) {
  Header header;
  std::memcpy(&header, bytes.data(), sizeof(Header));
  return header;
}

// The payload as values; memory from operator new and a header of 16 bytes keep it aligned.
template <typename T>
std::span<const T> payload(const Bytes& bytes) {
  return {reinterpret_cast<const T*>(bytes.data() + sizeof(Header)),
          (bytes.size() - sizeof(Header)) / sizeof(T)};
}

void throw_where_one_failed(const std::vector<Bytes>& messages) {
  std::vector<std::string> failures;
  for (const Bytes& bytes : messages) {
    const auto text = payload<char>(bytes);
    failures.emplace_back(text.begin(), header_of(bytes).failed != 0 ? text.end() : text.begin());
  }
  throw_first_failure(failures);
}

// The floats that `rank` owns of `size`: [begin, end).
std::pair<std::int64_t, std::int64_t> slice_of(std::int64_t size, int rank, int world_size) {
  return {size * rank / world_size, size * (rank + 1) / world_size};
}

}  // namespace

ShardSums gather_shard_sums(Communicator& comm,
                            const std::vector<at::Tensor>& local,
                            bool wishes_to_stop,
                            const std::string& failure) {
  std::vector<double> own;
  for (const at::Tensor& terms : local) {
    const at::Tensor values = terms.detach().cpu().contiguous();
    const auto* data = values.const_data_ptr<double>();
    own.insert(own.end(), data, data + values.numel());
  }
  const Header header{.failed = 0, .value = wishes_to_stop ? 1 : 0};
  const auto messages = comm.all_gather(
      failure.empty() ? message(header, std::as_bytes(std::span(own))) : failure_message(failure));
  throw_where_one_failed(messages);
  ShardSums sums;
  for (const Bytes& bytes : messages) {
    const auto values = payload<double>(bytes);
    sums.by_shard.insert(sums.by_shard.end(), values.begin(), values.end());
    sums.stop = sums.stop || header_of(bytes).value != 0;
  }
  return sums;
}

std::vector<double> add_in_shard_order(const ShardSums& sums, std::size_t num_terms) {
  std::vector<double> totals(num_terms, 0.0);
  for (std::size_t i = 0; i < sums.by_shard.size(); ++i) totals[i % num_terms] += sums.by_shard[i];
  return totals;
}

bool all_finite(std::span<const float> values) {
  constexpr std::uint32_t kExponent = 0x7F800000;
  bool finite = true;
  for (const float value : values) {
    finite &= (std::bit_cast<std::uint32_t>(value) & kExponent) != kExponent;
  }
  return finite;
}

bool all_finite(const at::Tensor& values) {
  if (!values.is_cpu()) return values.isfinite().all().item<bool>();
  const at::Tensor flat = values.contiguous();
  return all_finite({flat.const_data_ptr<float>(), static_cast<std::size_t>(flat.numel())});
}

GradientSum::Result all_reduce_gradient(Communicator& comm,
                                        at::Tensor gradient,
                                        std::int64_t shard,
                                        const std::string& failure) {
  const bool bad = failure.empty() && shard >= 0 && !all_finite(gradient);
  const auto messages = comm.all_gather(failure.empty() ? message({.value = bad ? shard : -1}, {})
                                                        : failure_message(failure));
  throw_where_one_failed(messages);
  for (const Bytes& bytes : messages) {
    if (const auto first = header_of(bytes).value; first >= 0)
      return {.sum = {}, .bad_shard = first};
  }
  comm.all_reduce(gradient, ReduceOp::kSum);
  return {.sum = std::move(gradient), .bad_shard = std::nullopt};
}

GradientSum::GradientSum(Communicator& comm, std::int64_t size) : comm_(comm), size_(size) {
  if (comm_.rank() == 0) first_.resize(size_, 0.0);
}

void GradientSum::add(std::int64_t shard,
                      const std::vector<at::Tensor>& gradient,
                      const std::vector<at::Tensor>& leaves) {
  if (comm_.rank() != 0) rows_.emplace_back(size_, 0.0F);
  std::int64_t offset = 0;
  for (std::size_t leaf = 0; leaf < leaves.size(); ++leaf) {
    const std::int64_t begin = offset;
    offset += leaves[leaf].numel();
    if (!gradient[leaf].defined()) continue;
    const at::Tensor values = gradient[leaf].to(at::kFloat).contiguous();
    const auto* data = values.const_data_ptr<float>();
    std::atomic<bool> finite = true;
    at::parallel_for(0, values.numel(), kGrain, [&](std::int64_t from, std::int64_t to) {
      const std::span flat(data + from, static_cast<std::size_t>(to - from));
      if (!all_finite(flat)) finite = false;
      if (comm_.rank() == 0) {
        double* sum = first_.data() + begin + from;
        for (std::size_t i = 0; i < flat.size(); ++i) sum[i] += flat[i];
      } else {
        std::ranges::copy(flat, rows_.back().begin() + begin + from);
      }
    });
    if (bad_shard_ < 0 && !finite) bad_shard_ = shard;
  }
}

Bytes GradientSum::part_for(int rank, const std::string& failure) const {
  if (!failure.empty()) return failure_message(failure);
  const auto [begin, end] = slice_of(size_, rank, comm_.world_size());
  const Header header{.failed = 0, .value = bad_shard_};
  if (comm_.rank() == 0) {
    if (rank == 0) return message(header, {});  // It has its own.
    return message(header, std::as_bytes(std::span(first_).subspan(begin, end - begin)));
  }
  std::vector<float> slices;
  slices.reserve(rows_.size() * static_cast<std::size_t>(end - begin));
  for (const auto& row : rows_) slices.insert(slices.end(), row.begin() + begin, row.begin() + end);
  return message(header, std::as_bytes(std::span(slices)));
}

GradientSum::Result GradientSum::reduce(const std::string& failure) {
  std::vector<Bytes> parts;
  for (int rank = 0; rank < comm_.world_size(); ++rank) parts.push_back(part_for(rank, failure));
  const auto received = comm_.all_to_all(parts);
  throw_where_one_failed(received);
  for (const Bytes& bytes : received) {  // In shard order, as the ranks are.
    if (const auto bad = header_of(bytes).value; bad >= 0) return {.sum = {}, .bad_shard = bad};
  }

  const auto [own_begin, own_end] = slice_of(size_, comm_.rank(), comm_.world_size());
  std::vector<double> sum = std::move(first_);
  if (comm_.rank() == 0) {
    sum.resize(static_cast<std::size_t>(own_end));  // Its slice is the first one.
  } else {
    const auto first = payload<double>(received[0]);
    sum.assign(first.begin(), first.end());
  }
  for (std::size_t from = 1; from < received.size(); ++from) {
    const auto values = payload<float>(received[from]);
    for (std::size_t begin = 0; begin < values.size(); begin += sum.size()) {
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += values[begin + i];
    }
  }
  Result result{.sum = at::empty({size_}, at::kFloat), .bad_shard = std::nullopt};
  const std::span rounded(result.sum.mutable_data_ptr<float>() + own_begin, sum.size());
  at::parallel_for(0, std::ssize(sum), kGrain, [&](std::int64_t from, std::int64_t to) {
    std::copy(sum.begin() + from, sum.begin() + to, rounded.begin() + from);
  });
  const auto slices = comm_.all_gather(std::as_bytes(rounded));
  auto* out = static_cast<std::byte*>(result.sum.data_ptr());
  for (const Bytes& slice : slices) out = std::ranges::copy(slice, out).out;
  return result;
}

}  // namespace assay
