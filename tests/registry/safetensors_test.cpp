#include "registry/safetensors.h"

#include "core/error.h"
#include "core/file.h"
#include "tests/support/temporary_folder.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

namespace assay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// 8 bytes of length, a header, `data_bytes` zero bytes.
std::string file_of(const std::string& header, std::size_t data_bytes) {
  std::string out(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) out[i] = static_cast<char>(header.size() >> (8 * i));
  return out + header + std::string(data_bytes, '\0');
}

template <typename Matcher>
void expect_refused(const std::string& content, const Matcher& message) {
  const TemporaryFolder folder;
  const auto path = folder / "weights.safetensors";
  write_file_atomically(path, content);
  EXPECT_THAT([&] { (void)read_safetensors(path); },
              ThrowsMessage<DataError>(AllOf(HasSubstr(path.string()), message)));
}

SafeTensors sample() {
  SafeTensors content;
  content.metadata = {{"kind", "test"}, {"note", "quotes \" and \\"}};
  content.tensors["f32"] = at::arange(6, at::kFloat).view({2, 3}).t();  // Not contiguous.
  content.tensors["f64"] = at::full({}, 0.1, at::kDouble);
  content.tensors["f16"] = at::arange(3).to(at::kHalf);
  content.tensors["bf16"] = at::arange(5).to(at::kBFloat16);
  content.tensors["i64"] = at::arange(2);
  content.tensors["i32"] = at::arange(3, at::kInt);
  content.tensors["i16"] = at::arange(3, at::kShort);
  content.tensors["i8"] = at::arange(3, at::kChar);
  content.tensors["u8"] = at::arange(7, at::kByte);
  content.tensors["bool"] = at::arange(3).eq(1);
  content.tensors["empty"] = at::empty({0, 4}, at::kFloat);
  return content;
}

TEST(SafeTensors, ComeBackAsTheyWere) {
  const TemporaryFolder folder;
  const SafeTensors written = sample();
  write_safetensors(folder / "f", written);
  const SafeTensors read = read_safetensors(folder / "f");
  EXPECT_EQ(read.metadata, written.metadata);
  ASSERT_EQ(read.tensors.size(), written.tensors.size());
  for (const auto& [name, tensor] : written.tensors) {
    const at::Tensor& found = read.tensors.at(name);
    EXPECT_EQ(found.scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(at::equal(found, tensor)) << name;
  }
}

TEST(SafeTensors, OfEqualContentAreEqualBytes) {
  const TemporaryFolder folder;
  write_safetensors(folder / "a", sample());
  write_safetensors(folder / "b", read_safetensors(folder / "a"));
  EXPECT_EQ(read_file(folder / "a"), read_file(folder / "b"));
}

TEST(SafeTensors, CutAnywhereAreRefused) {
  const TemporaryFolder folder;
  write_safetensors(folder / "whole", sample());
  const std::string whole = read_file(folder / "whole");
  for (std::size_t length = 0; length < whole.size(); length += 13) {
    write_file_atomically(folder / "cut", whole.substr(0, length));
    EXPECT_THROW((void)read_safetensors(folder / "cut"), DataError) << length << " bytes";
  }
  expect_refused(whole.substr(0, whole.size() - 1), HasSubstr("truncated"));
}

TEST(SafeTensors, ThatAreMissingAreNamed) {
  EXPECT_THAT([] { (void)read_safetensors("/nowhere/w.safetensors"); },
              ThrowsMessage<DataError>(HasSubstr("/nowhere/w.safetensors")));
}

TEST(SafeTensors, TellAGitLfsPointerAndAWebPageFromWeights) {  // Case W03.
  expect_refused("version https://git-lfs.github.com/spec/v1\noid sha256:" + std::string(64, 'a') +
                     "\nsize 934088680\n",
                 HasSubstr("Git LFS pointer to a file of 934088680 bytes, not the weights; run "
                           "'git lfs pull'"));
  expect_refused("\n<!DOCTYPE html><html><body>Sign in</body></html>", HasSubstr("HTML page"));
  expect_refused("PK\x03\x04 and so on", HasSubstr("PyTorch archive"));
}

TEST(SafeTensors, TellFilesOfNumPyPickleAndHdf5) {
  expect_refused("\x93NUMPY\x01 and so on", HasSubstr("a NumPy array (.npy), not safetensors"));
  std::string zip = "PK\x03\x04" + std::string(22, '\0') + "\x07" + std::string(3, '\0');
  expect_refused(zip + "map.npy and so on", HasSubstr("a NumPy archive (.npz), not safetensors"));
  expect_refused("\x80\x04\x95 and so on", HasSubstr("a Python pickle, not safetensors"));
  expect_refused("\x89HDF\r\n\x1A\n and so on", HasSubstr("an HDF5 file, not safetensors"));
  expect_refused("\x1F\x8B\x08 and so on", HasSubstr("a gzip file (.gz), not safetensors"));
}

TEST(SafeTensors, WhoseHeaderIsAsLongAsAPickleBeginsAreRead) {
  for (const std::size_t length : {0x0280U, 0x0380U, 0x0480U, 0x0580U}) {
    const TemporaryFolder folder;
    std::string header = R"({"a":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}})";
    header.append(length - header.size(), ' ');
    write_file_atomically(folder / "f", file_of(header, 8));
    EXPECT_EQ(read_safetensors(folder / "f").tensors.at("a").scalar_type(), at::kUInt64);
  }
}

TEST(SafeTensors, MappedAreViewsOfTheFileWithTheSameContent) {
  const TemporaryFolder folder;
  const SafeTensors written = sample();
  write_safetensors(folder / "f", written);
  SafeTensors mapped = map_safetensors(folder / "f");
  EXPECT_EQ(mapped.metadata, written.metadata);
  ASSERT_EQ(mapped.tensors.size(), written.tensors.size());
  for (const auto& [name, tensor] : written.tensors) {
    EXPECT_TRUE(at::equal(mapped.tensors.at(name), tensor)) << name;
  }
  std::fstream file(folder / "f", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(-1, std::ios::end).put(42).flush();
  EXPECT_EQ(mapped.tensors.at("u8")[6].item<int>(), 42) << "the last byte of the file";
}

TEST(SafeTensors, MappedOutliveTheFilesName) {
  const TemporaryFolder folder;
  write_safetensors(folder / "f", sample());
  const at::Tensor tensor = map_safetensors(folder / "f").tensors.at("f32");
  std::filesystem::remove(folder / "f");
  EXPECT_TRUE(at::equal(tensor, sample().tensors.at("f32")));
}

TEST(SafeTensors, MappedAreCopiedWhereTheFileDoesNotAlignThem) {
  const TemporaryFolder folder;
  std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  if (header.size() % 4 == 0) header += ' ';
  std::string content = file_of(header, 8);
  content.back() = '?';  // The second number is 0x3F000000, one half.
  write_file_atomically(folder / "f", content);
  const at::Tensor tensor = map_safetensors(folder / "f").tensors.at("a");
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.const_data_ptr()) % 4, 0U);
  EXPECT_EQ(tensor[1].item<float>(), 0.5F);
}

TEST(SafeTensors, NeverBelieveTheLengthOfAHeader) {  // Case W04.
  std::string kilobyte(1024, '\0');
  kilobyte.replace(0, 4, std::string("\x00\x9F\xDF\x07", 4));  // 132,095,744.
  expect_refused(kilobyte, AllOf(HasSubstr("132095744"), HasSubstr("1016")));
  expect_refused(std::string(64, '\xFF'), HasSubstr("18446744073709551615"));
  expect_refused("", HasSubstr("0 bytes long"));
  expect_refused("1234567", HasSubstr("7 bytes long"));
}

TEST(SafeTensors, WithAHeaderOverTheFormatsLimitAreRefused) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "f", std::string("\x01\xE1\xF5\x05\x00\x00\x00\x00", 8));
  std::filesystem::resize_file(folder / "f", 200'000'000);  // Sparse.
  EXPECT_THAT([&] { (void)read_safetensors(folder / "f"); },
              ThrowsMessage<DataError>(HasSubstr("header of 100000001 bytes, the format allows "
                                                 "100000000")));
}

TEST(SafeTensors, WithOffsetsThatCannotBeAreRefused) {
  const auto entry = [](const std::string& name, const std::string& shape, int begin, int end) {
    return fmt::format(R"("{}":{{"dtype":"F32","shape":{},"data_offsets":[{},{}]}})", name, shape,
                       begin, end);
  };
  expect_refused(file_of("{" + entry("a", "[2]", 0, 8) + "," + entry("b", "[2]", 4, 12) + "}", 12),
                 HasSubstr("'b' overlaps"));
  expect_refused(file_of("{" + entry("a", "[2]", 0, 12) + "}", 12), HasSubstr("'a'"));
  expect_refused(file_of("{" + entry("a", "[2]", 8, 0) + "}", 8), HasSubstr("'a'"));
  expect_refused(file_of("{" + entry("a", "[2]", 4, 12) + "}", 12), HasSubstr("no tensor"));
  expect_refused(file_of("{" + entry("a", "[2]", 0, 8) + "}", 12), HasSubstr("4 bytes behind"));
  expect_refused(file_of("{" + entry("a", "[-2]", 0, 8) + "}", 8), HasSubstr("'a'"));
  expect_refused(file_of("{" + entry("a", "[4294967296,4294967296,4294967296]", 0, 0) + "}", 0),
                 HasSubstr("'a'"));
}

TEST(SafeTensors, OfAnotherTypeOrWithoutAHeaderAreRefused) {
  expect_refused(file_of(R"({"a":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}})", 8),
                 HasSubstr("dtype C64"));
  expect_refused(file_of("not json", 0),
                 HasSubstr("not a safetensors file: its header is no JSON from byte 2 on"));
  expect_refused(file_of(R"({"a":{"shape":[1]}})", 0),
                 HasSubstr("not a safetensors file: 'a' in its header is not dtype, shape and "
                           "data_offsets"));
  expect_refused(file_of(R"({"__metadata__":{"a":1}})", 0),
                 HasSubstr("'__metadata__' in its header is not strings by name"));
  expect_refused(file_of("[1,2]", 0), HasSubstr("not a safetensors file: its header is of type "
                                                "array, expected an object"));
  expect_refused(file_of("", 0), HasSubstr("not a safetensors file: its header has 0 bytes"));
}

TEST(SafeTensors, WithOneKeyTwiceAreRefused) {  // The format: "Duplicate keys are disallowed".
  const std::string entry = R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  expect_refused(file_of(R"({"map":)" + entry + R"(,"map":)" + entry + "}", 8),
                 HasSubstr("its header has the key 'map' twice, which the format forbids"));
  expect_refused(file_of(R"({"a":{"dtype":"F32","dtype":"F64"}})", 8),
                 HasSubstr("the key 'dtype' twice"));
}

TEST(SafeTensors, ThatAreNoFilesAreNamed) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { (void)read_safetensors(folder.path()); },
              ThrowsMessage<DataError>(HasSubstr(": is a folder, expected a file")));
  const std::filesystem::path pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT([&] { (void)read_safetensors(pipe); },
              ThrowsMessage<DataError>(HasSubstr("pipe: is a pipe or a device, which cannot be "
                                                 "mapped; write it to a file first")));
}

}  // namespace
}  // namespace assay
