package backup

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// deflated compresses as a level of the standard library does.
func deflated(t testing.TB, level int, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// samples are data of all kinds that a compressor tells apart.
func samples() map[string][]byte {
	random := rand.New(rand.NewPCG(3, 4))
	noise := make([]byte, 200<<10)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	var text, skewed []byte
	for len(text) < 300<<10 {
		text = fmt.Appendf(text, "%d words %x\n", random.IntN(1000), random.IntN(50))
	}
	for len(skewed) < 200<<10 { // has codes of all lengths
		skewed = append(skewed, byte(random.ExpFloat64()*20))
	}
	return map[string][]byte{
		"nothing": nil,
		"a byte":  {7},
		"short":   []byte("hello, hello, hello"),
		"zeros":   make([]byte, 400<<10),
		"pairs":   []byte(strings.Repeat("ab", 50<<10)),
		"noise":   noise,
		"text":    text,
		"skewed":  skewed,
		"mixed":   append(append(bytes.Clone(text[:100<<10]), noise[:70<<10]...), skewed[:50<<10]...),
	}
}

func TestInflate(t *testing.T) {
	var d inflater
	for name, data := range samples() {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 6, 9} {
			in := deflated(t, level, data)
			out := make([]byte, len(data))
			if err := d.inflate(out, in); err != nil || !bytes.Equal(out, data) {
				t.Errorf("%s at level %d: %v, the same: %v", name, level, err, bytes.Equal(out, data))
			}
			for what, err := range map[string]error{
				"less room":  d.inflate(make([]byte, max(0, len(data)-1)), in),
				"more room":  d.inflate(make([]byte, len(data)+1), in),
				"less input": d.inflate(out, in[:len(in)-1]),
				"more input": d.inflate(out, append(bytes.Clone(in), 0)),
			} {
				if err == nil && (what != "less room" || len(data) > 0) {
					t.Errorf("%s at level %d with %s: no error", name, level, what)
				}
			}
		}
	}
}

// It takes what the standard library takes, and nothing else.
func FuzzInflate(f *testing.F) {
	for _, data := range samples() {
		if len(data) > 4<<10 {
			data = data[:4<<10]
		}
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 9} {
			f.Add(deflated(f, level, data), len(data))
		}
	}
	var d inflater
	f.Fuzz(func(t *testing.T, in []byte, n int) {
		if n < 0 || n > 1<<16 {
			return
		}
		rest := bytes.NewReader(in)
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(rest), 1<<16+1))
		fits := wantErr == nil && len(want) == n && rest.Len() == 0
		out := make([]byte, n)
		err := d.inflate(out, in)
		if (err == nil) != fits || fits && !bytes.Equal(out, want) {
			t.Errorf("%v, where the standard library makes %d bytes of %d, leaves %d, and says %v", err, len(want), n, rest.Len(), wantErr)
		}
	})
}
