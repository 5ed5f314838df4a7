package rdb

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// snapshot is one written by this package, of values as Redis writes them.
func snapshot(t testing.TB, entries ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(&out, 10)
	for i, value := range entries {
		e := Entry{DB: i % 3, Key: []byte(strings.Repeat("k", keySize(i))), Type: value[0], ExpireAt: int64(i % 2 * 1_900_000_000_000)}
		err := w.Begin(e)
		if err == nil {
			_, err = w.Write([]byte(value[1:]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Function([]byte("#!lua name=x\n")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// keySize is the size of the key of an entry: its length takes 1, 2 or 5 bytes.
func keySize(i int) int { return []int{i, 100 + i, 20_000}[min(i/9, 2)] / (1 + i%5) }

// values are some of each way that values are stored, with their type first.
var values = []string{
	"\x00\x03abc", "\x00\xC0\x05", "\x00\xC1\x05\x00", "\x00\xC2\x05\x00\x00\x00", "\x00\xC3\x03\x02\x01a\x02", "\x00\x80\x00\x00\x00\x01a",
	"\x01\x02\x01a\x01b", "\x02\x01\x01a", "\x03\x03\x01a\x031.5\x01b\xFE\x01c\xFD", "\x04\x01\x01f\x01v", "\x05\x01\x01a12345678", "\x0B\x04abcd", "\x12\x01\x02\x03abc", "\x0E\x01\x03abc", "\x14\x02ab",
	"\x0F\x01\x02id\x03abc\x01\x05\x00\x01\x01g\x05\x00\x01" + strings.Repeat("i", 16) + "12345678" + "\x02\x01\x01c12345678\x01" + strings.Repeat("i", 16),
	"\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01g\x05\x00\x01\x00\x01\x01c1234567812345678\x00",
	"\x07\x80\x00\x00\x00\x01\x02\x05\x05\x01a\x04abcdefgh\x03abcd\x01\x05\x00", "\x18abcdefgh\x01\x05\x01f\x01v", "\x19abcdefgh\x02ab",
}

func read(in io.Reader) (entries []string, err error) {
	r, err := NewReader(in)
	if err != nil {
		return nil, err
	}
	for {
		var value bytes.Buffer
		e, err := r.Next(func(Entry) (io.Writer, error) { return &value, nil })
		if err != nil {
			return entries, err
		}
		entries = append(entries, fmt.Sprintf("%d %q %d %d %q %q", e.DB, e.Key, e.Type, e.ExpireAt, e.Function, value.String()))
	}
}

func TestReader(t *testing.T) {
	raw := snapshot(t, values...)
	entries, err := read(bytes.NewReader(raw))
	if !errors.Is(err, io.EOF) || len(entries) != len(values)+1 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, value := range values {
		want := fmt.Sprintf("%d %q %d %d %q %q", i%3, strings.Repeat("k", keySize(i)), value[0], i%2*1_900_000_000_000, "", value[1:])
		if entries[i] != want {
			t.Errorf("%.200s\nwant\n%.200s", entries[i], want)
		}
	}
	// Cut anywhere, it is damaged; and with any bit turned.
	for n := 0; n < len(raw); n += 1 + n/1000*61 {
		if _, err := read(bytes.NewReader(raw[:n])); !errors.Is(err, ErrCorrupt) {
			t.Fatalf("cut off after %d of %d bytes: %v", n, len(raw), err)
		}
	}
	for n := 9; n < len(raw); n += 7 {
		turned := bytes.Clone(raw)
		turned[n] ^= 1 << (n % 8)
		if _, err := read(bytes.NewReader(turned)); err == nil || errors.Is(err, io.EOF) {
			t.Fatalf("with a bit turned in byte %d it is whole", n)
		}
	}
}

func TestReader_Skips(t *testing.T) {
	text := "REDIS0011" + "\xFA\x09redis-ver\x057.2.4" + "\xFA\x0Aredis-bits\xC0\x40" + "\xF7\x01\x02\x02\x05\x01a\x00" + "\xFE\x00\xFB\x01\x00" + "\xF4\x01\x02\x03" +
		"\xFD\x01\x00\x00\x00\xF8\x05\xF9\x07\x00\xC3\x05\x0A\x00a\xE0\x00\x00\xC0\x01" + "\xFF" + strings.Repeat("\x00", 8)
	entries, err := read(strings.NewReader(text))
	if want := `0 "aaaaaaaaaa" 0 1000 "" "\xc0\x01"`; !errors.Is(err, io.EOF) || len(entries) != 1 || entries[0] != want {
		t.Errorf("%q, %v, want %s", entries, err, want)
	}
	for text, want := range map[string]string{
		"REDIS0011\x1A\x01kx": "type 26", "REDIS0099": "newer Redis", "REDIS0001": "version", "PREDIS": "damaged", "REDIS0011\x00\x01k\xC4": "packed", "REDIS0011\x00\x81\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF": "bytes",
		"REDIS0011\x00\xC3\x02\x05\x20\x09": "refers to nothing", "REDIS0011\x01\x01k\xC0\x01": "where a length",
	} {
		if _, err := read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestChecksum is the check value of Redis's own test of its checksum.
func TestChecksum(t *testing.T) {
	if got := Checksum(0, []byte("123456789")); got != 0xe9c6d914c4b8d9ca {
		t.Errorf("%#x", got)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(snapshot(f, values...))
	for _, v := range values {
		f.Add(snapshot(f, v))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if _, err := read(bytes.NewReader(raw)); err == nil {
			t.Error("there is no end")
		}
	})
}
