#include "runner/rank_pool.h"

#include "core/error.h"
#include "runner/channel.h"
#include "runner/pipe.h"
#include "runner/process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string>
#include <thread>

namespace assay {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);

std::vector<std::string> pool_command(const std::filesystem::path& worker,
                                      const std::filesystem::path& gangs,
                                      const PoolShape& shape) {
  if (shape.world_size % shape.ranks != 0) {
    throw ConfigError("--ranks {}: the {} ranks that were started do not make gangs of {}",
                      shape.ranks, shape.world_size, shape.ranks);
  }
  std::vector<std::string> command = {worker.string(), "pool",
                                      "--folder",      std::filesystem::absolute(gangs).string(),
                                      "--ranks",       std::to_string(shape.ranks)};
  if (shape.gpus) command.emplace_back("--gpus");
  return command;
}

}  // namespace

RankPool::RankPool(const std::filesystem::path& worker,
                   const std::filesystem::path& gangs,
                   const PoolShape& shape) {
  std::vector<std::string> command = pool_command(worker, gangs, shape);
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  std::vector<Pipe> childs;
  for (int gang = 0; gang < shape.world_size / shape.ranks; ++gang) {
    Pipe in = make_pipe(), out = make_pipe();
    // Onto itself: the child keeps it.
    ::posix_spawn_file_actions_adddup2(&actions, in.read.get(), in.read.get());
    ::posix_spawn_file_actions_adddup2(&actions, out.write.get(), out.write.get());
    command.insert(command.end(), {"--hear", std::to_string(in.read.get()), "--tell",
                                   std::to_string(out.write.get())});
    channels_.push_back({std::move(in.write), std::move(out.read)});
    childs.push_back({std::move(in.read), std::move(out.write)});
  }
  const int code = ::posix_spawn(&child_, command[0].c_str(), &actions, nullptr,
                                 exec_pointers(command).data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (code != 0) throw CommError("{}: {}", command[0], std::strerror(code));
}

RankPool::~RankPool() {
  for (GangChannel& channel : channels_) {
    if (!channel.input) continue;
    try {
      MessageWriter(channel.input.get()).send({{"do", "end"}});
    } catch (const CommError&) {
      // It is gone already.
    }
    channel.input.reset();
  }
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (::waitpid(child_, nullptr, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > deadline) ::kill(child_, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

GangChannel RankPool::take(int gang) {
  GangChannel channel = std::move(channels_.at(static_cast<std::size_t>(gang)));
  if (!channel.input) throw CommError("its ranks are gone, and with them their world");
  return channel;
}

void become_pool_rank(const std::filesystem::path& worker,
                      const std::filesystem::path& gangs,
                      const PoolShape& shape) {
  std::vector<std::string> command = pool_command(worker, gangs, shape);
  ::execv(command[0].c_str(), exec_pointers(command).data());
  throw ConfigError("{}: {}", command[0], std::strerror(errno));
}

}  // namespace assay
