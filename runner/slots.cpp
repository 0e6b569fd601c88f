#include "runner/slots.h"

#include "core/error.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/file.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sstream>

namespace assay {
namespace {

constexpr int kNobody = -1, kAbandoned = -2;  // Owners that are no gang.
constexpr int kMaxSlotsOfAHost = 100000;

int slots_from(const std::string& word, const std::string& where) {
  int count = 0;
  const std::string_view digits = std::string_view(word).substr(word.find('=') + 1);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  if (error != std::errc() || end != digits.data() + digits.size() || count < 1 ||
      count > kMaxSlotsOfAHost) {
    throw ConfigError("{}: '{}' is no number of slots; expected slots=N with N from 1 to {}", where,
                      word, kMaxSlotsOfAHost);
  }
  return count;
}

}  // namespace

SlotPool::SlotPool(std::vector<Slot> slots)
    : slots_(std::move(slots)), owner_(slots_.size(), kNobody) {}

std::optional<std::vector<Slot>> SlotPool::take(int gang, std::size_t count) {
  std::map<std::string, std::size_t> free;
  std::size_t all = 0;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (owner_[i] != kNobody) continue;
    ++free[slots_[i].host];
    ++all;
  }
  if (all < count) return std::nullopt;
  const std::string* host = nullptr;
  for (const auto& [name, number] : free) {
    if (number >= count && (host == nullptr || number < free.at(*host))) host = &name;
  }
  std::vector<Slot> taken;
  for (std::size_t i = 0; i < slots_.size() && taken.size() < count; ++i) {
    if (owner_[i] != kNobody || (host != nullptr && slots_[i].host != *host)) continue;
    owner_[i] = gang;
    taken.push_back(slots_[i]);
  }
  return taken;
}

void SlotPool::give_back(int gang) { std::ranges::replace(owner_, gang, kNobody); }

void SlotPool::abandon(int gang) { std::ranges::replace(owner_, gang, kAbandoned); }

std::size_t SlotPool::size() const {
  return slots_.size() - static_cast<std::size_t>(std::ranges::count(owner_, kAbandoned));
}

std::vector<Slot> local_slots(int count, const std::vector<int>& cores) {
  std::vector<Slot> slots(static_cast<std::size_t>(std::max(count, 1)));
  if (slots.size() > cores.size()) return slots;
  for (std::size_t i = 0; i < slots.size(); ++i) slots[i].core = cores[i];
  return slots;
}

std::vector<int> allowed_cores() {
  std::vector<int> cores;
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

CoreClaim::CoreClaim(std::size_t count,
                     const std::vector<int>& cores,
                     const std::filesystem::path& folder) {
  for (const int core : cores) {
    if (cores_.size() == count) break;
    const std::filesystem::path path = folder / fmt::format("assay-core-{}.lock", core);
    // Another user's file may be opened, not created again (fs.protected_regular).
    Descriptor lock(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!lock) lock = Descriptor(::open(path.c_str(), O_RDONLY | O_CREAT | O_CLOEXEC, 0644));
    if (!lock || ::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) continue;
    cores_.push_back(core);
    locks_.push_back(std::move(lock));
  }
  if (cores_.size() == count) return;
  cores_.clear();
  locks_.clear();
}

std::vector<Slot> read_hostfile(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw ConfigError("{}: the hostfile cannot be read", path.string());
  std::vector<Slot> slots;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    const std::string where = fmt::format("{}:{}", path.string(), ++number);
    std::istringstream words(line.substr(0, line.find('#')));
    std::string host;
    if (!(words >> host)) continue;
    int count = 1;
    for (std::string word; words >> word;) {
      if (word.starts_with("max_slots=") || word.starts_with("max-slots=")) continue;
      if (!word.starts_with("slots=")) {
        throw ConfigError("{}: '{}' is not understood; expected 'name slots=N'", where, word);
      }
      count = slots_from(word, where);
    }
    for (int core = 0; core < count; ++core) slots.push_back({.host = host, .core = core});
  }
  if (slots.empty()) throw ConfigError("{}: the hostfile names no host", path.string());
  return slots;
}

}  // namespace assay
