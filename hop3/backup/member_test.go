package backup

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// zipped is data as an archive has it.
func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := newZipper(&b)
	for rest := data; len(rest) > 0; {
		n := min(len(rest), 1+rand.IntN(700<<10))
		if _, err := z.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// byOthers is data as another program compresses it.
func byOthers(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Name = "data.tar"
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func unzipped(in io.Reader) ([]byte, error) {
	u := unzip(in)
	defer u.close()
	return io.ReadAll(u)
}

func large() []byte {
	var data []byte
	all := samples()
	for len(data) < 7*memberData {
		for _, name := range []string{"text", "noise", "skewed", "zeros"} {
			data = append(data, all[name]...)
		}
	}
	return data
}

// Whoever reads it, and whoever wrote it, the same comes out.
func TestMembers(t *testing.T) {
	all := samples()
	all["large"] = large()
	all["a member"] = all["large"][:memberData]
	for name, data := range all {
		ours, others := zipped(t, data), byOthers(t, data)
		r, err := gzip.NewReader(bytes.NewReader(ours))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: one after another it is %d bytes, %v", name, len(got), err)
		}
		for what, file := range map[string][]byte{"ours": ours, "another's": others} {
			if got, err := unzipped(bytes.NewReader(file)); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%s: %s is %d bytes, %v", name, what, len(got), err)
			}
		}
		for what, file := range map[string][]byte{"ours, another's": slices.Concat(ours, others), "another's, ours": slices.Concat(others, ours), "ours twice": slices.Concat(ours, ours)} {
			if got, err := unzipped(bytes.NewReader(file)); err != nil || !bytes.Equal(got, slices.Concat(data, data)) {
				t.Errorf("%s: %s is %d bytes, %v", name, what, len(got), err)
			}
		}
	}
}

// bounds are where the members of a file begin, and where it ends.
func bounds(t testing.TB, file []byte) []int {
	t.Helper()
	at := []int{0}
	for at[len(at)-1] < len(file) {
		size, known := memberSize(file[at[len(at)-1]:])
		if !known {
			t.Fatal("there is no member where one should be")
		}
		at = append(at, at[len(at)-1]+size)
	}
	return at
}

// What lies about its size, or is damaged or cut off anywhere, is one error,
// before which nothing but what was saved is read.
func TestMembersThatLie(t *testing.T) {
	data := large()
	file := zipped(t, data)
	at := bounds(t, file)
	size := func(n uint32) func([]byte) []byte {
		return func(b []byte) []byte {
			binary.LittleEndian.PutUint32(b[at[2]+sizeAt:], n)
			return b
		}
	}
	holds := func(n uint32) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[at[3]-4:], n); return b }
	}
	second := uint32(at[3] - at[2])
	for name, spoil := range map[string]func([]byte) []byte{
		"no size":              size(0),
		"less than a header":   size(headerSize + trailerSize - 1),
		"nothing in it":        size(headerSize + trailerSize),
		"a byte short":         size(second - 1),
		"a byte long":          size(second + 1),
		"two in one":           size(uint32(at[4] - at[2])),
		"as large as it may":   size(maxMember),
		"too large":            size(maxMember + 1),
		"enormous":             size(1<<32 - 1),
		"holds nothing":        holds(0),
		"holds less":           holds(memberData - 1),
		"holds more":           holds(memberData + 1),
		"holds too much":       holds(maxMemberData + 1),
		"holds enormously":     holds(1<<32 - 1),
		"another checksum":     func(b []byte) []byte { b[at[3]-8] ^= 1; return b },
		"a bit":                func(b []byte) []byte { b[(at[2]+at[3])/2] ^= 16; return b },
		"a foreign header":     func(b []byte) []byte { b[at[2]+12] = 'X'; b[at[2]+16] ^= 1; b[at[3]-8] ^= 1; return b },
		"no header":            func(b []byte) []byte { b[at[2]] = 0; return b },
		"behind the end":       func(b []byte) []byte { return append(b, "more"...) },
		"cut off in a header":  func(b []byte) []byte { return b[:at[2]+11] },
		"cut off in a size":    func(b []byte) []byte { return b[:at[2]+headerSize-1] },
		"cut off in a member":  func(b []byte) []byte { return b[:at[3]-9] },
		"cut off in a trailer": func(b []byte) []byte { return b[:at[3]-1] },
		"cut off between two":  func(b []byte) []byte { return b[:at[3]] },
		"without its end":      func(b []byte) []byte { return b[:at[len(at)-2]] },
		"empty":                func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			got, err := unzipped(bytes.NewReader(spoil(bytes.Clone(file))))
			if err == nil || !bytes.HasPrefix(data, got) {
				t.Errorf("%d bytes of %d, %v", len(got), len(data), err)
			}
		})
	}
}

// failing fails after a while, as a disk or a connection does; without an error
// it panics.
type failing struct {
	io.Reader
	err error
}

func (f *failing) Read(b []byte) (int, error) {
	n, err := f.Reader.Read(b)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if f.err == nil {
		panic("the disk is gone")
	}
	return n, f.err
}

func TestAnUnzipperTellsWhatItsReaderSays(t *testing.T) {
	broken := errors.New("broken")
	data := large()
	for name, file := range map[string][]byte{"ours": zipped(t, data), "another's": byOthers(t, data)} {
		for _, n := range []int{0, 10, 100, len(file) / 2} {
			if _, err := unzipped(&failing{bytes.NewReader(file[:n]), broken}); !errors.Is(err, broken) {
				t.Errorf("%s, %d bytes: %v", name, n, err)
			}
			if _, err := unzipped(&failing{bytes.NewReader(file[:n]), nil}); err == nil {
				t.Errorf("%s, %d bytes: no error after a panic", name, n)
			}
		}
	}
}

// A reader that is closed early, or never read, leaves nothing that runs.
func TestAnUnzipperIsClosedAtAnyTime(t *testing.T) {
	data := large()
	before := runtime.NumGoroutine()
	for _, file := range [][]byte{zipped(t, data), byOthers(t, data)} {
		for _, n := range []int64{0, 1, memberData, 3*memberData + 1} {
			u := unzip(bytes.NewReader(file))
			if _, err := io.CopyN(io.Discard, u, n); err != nil {
				t.Error(err)
			}
			u.close()
		}
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Errorf("%d goroutines are left of %d", after-before, after)
	}
}

// full takes so much, and no more.
type full struct {
	room int
	err  error
}

func (f *full) Write(b []byte) (int, error) {
	if f.room -= len(b); f.room < 0 {
		return 0, f.err
	}
	return len(b), nil
}

func TestAZipperTellsWhatItsWriterSays(t *testing.T) {
	broken := errors.New("broken")
	data := large()
	for _, room := range []int{0, 1 << 20} {
		z := newZipper(&full{room, broken})
		var err error
		for range 20 {
			if _, err = z.Write(data); err != nil {
				break
			}
		}
		if closed := z.Close(); !errors.Is(err, broken) || !errors.Is(closed, broken) {
			t.Errorf("with room for %d: %v, and then %v", room, err, closed)
		}
	}
}

// Whatever the file is, it ends, and where the standard library reads it we
// read the same.
func FuzzUnzip(f *testing.F) {
	small := []byte("hello, hello, hello")
	ours := zipped(f, small)
	f.Add(ours)
	f.Add(byOthers(f, small))
	f.Add(slices.Concat(ours, byOthers(f, small), ours))
	f.Add(ours[:bounds(f, ours)[1]])
	lying := bytes.Clone(ours)
	binary.LittleEndian.PutUint32(lying[sizeAt:], 1<<31)
	f.Add(lying)
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := unzipped(io.LimitReader(bytes.NewReader(file), 1<<16))
		if err != nil || len(file) > 1<<16 {
			return
		}
		r, err := gzip.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatalf("the standard library says %v", err)
		}
		if want, err := io.ReadAll(r); err != nil || !bytes.Equal(got, want) {
			t.Errorf("it is %d bytes, the standard library makes %d, %v", len(got), len(want), err)
		}
	})
}
