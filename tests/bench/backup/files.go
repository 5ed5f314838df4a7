package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// files is a directory of files as apps have: half text, half that does not
// get smaller, many small ones and a few large.
type files struct {
	dir  string
	size int64
}

func (*files) name() string { return "files" }

func (f *files) source() string { return filepath.Join(f.dir, "files") }

func (f *files) prepare(context.Context) error {
	random := rand.New(rand.NewPCG(1, 2))
	text := words(random, 4<<20)
	noise := make([]byte, 4<<20)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for n, left := 0, f.size; left > 0; n++ {
		length := min(left, int64(64<<10)<<random.IntN(9)) // up to 16 MB
		path := filepath.Join(f.source(), fmt.Sprint(n%50), fmt.Sprint(n))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		out, err := os.Create(path)
		if err != nil {
			return err
		}
		content := text
		if n%2 == 1 {
			content = noise
		}
		for done := int64(0); done < length; {
			from := random.IntN(len(content) / 2)
			piece := content[from:min(int64(len(content)), int64(from)+length-done)]
			if _, err := out.Write(piece); err != nil {
				return err
			}
			done += int64(len(piece))
		}
		if err := out.Close(); err != nil {
			return err
		}
		left -= length
	}
	return nil
}

// words is text of a vocabulary, as logs and pages are.
func words(random *rand.Rand, n int) []byte {
	var vocabulary [4096]string
	for i := range vocabulary {
		word := make([]byte, 3+random.IntN(8))
		for j := range word {
			word[j] = 'a' + byte(random.IntN(26))
		}
		vocabulary[i] = string(word)
	}
	text := make([]byte, 0, n+16)
	for len(text) < n {
		text = append(text, vocabulary[int(float64(len(vocabulary))*random.Float64()*random.Float64())]...)
		text = append(text, " \n"[random.IntN(8)/7])
	}
	return text[:n]
}

func (f *files) saveByHand(ctx context.Context) (time.Duration, error) {
	to := filepath.Join(f.dir, "hand.tar.zst")
	return pipe(ctx, exec.CommandContext(ctx, "tar", "-C", f.dir, "-cf", "-", "files"), exec.CommandContext(ctx, "zstd", "-q", "-f", "-o", to))
}

func (f *files) restoreByHand(ctx context.Context) (time.Duration, error) {
	to := filepath.Join(f.dir, "hand-restored")
	if err := os.Mkdir(to, 0o755); err != nil {
		return 0, err
	}
	took, err := pipe(ctx, exec.CommandContext(ctx, "zstd", "-q", "-dc", filepath.Join(f.dir, "hand.tar.zst")), exec.CommandContext(ctx, "tar", "-C", to, "-xf", "-"))
	if err == nil {
		err = os.RemoveAll(to)
	}
	return took, err
}

func (f *files) backups() string { return filepath.Join(f.dir, "backups") }

func (f *files) save(ctx context.Context) (time.Duration, int64, error) {
	if err := os.RemoveAll(f.backups()); err != nil {
		return 0, 0, err
	}
	return hop3Step(ctx, job{Do: "save files", Backups: f.backups(), Dir: f.source()})
}

func (f *files) restore(ctx context.Context) (time.Duration, int64, error) {
	to := filepath.Join(f.dir, "restored")
	if err := os.Mkdir(to, 0o755); err != nil {
		return 0, 0, err
	}
	took, peak, err := hop3Step(ctx, job{Do: "restore files", Backups: f.backups(), Dir: to})
	if err == nil {
		err = os.RemoveAll(to)
	}
	return took, peak, err
}

func (f *files) close() error { return os.RemoveAll(f.source()) }
