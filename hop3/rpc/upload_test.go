package rpc_test

import (
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/archive"
	"github.com/abilian/hop3/hop3/client"
)

// noise is n bytes that no compression makes smaller.
func noise(n int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{}), n) }

// What the server is set to take, it takes, and never has in memory: here more
// than 200 MB, which was once the most that a request could have.
func TestTheLargestUploadIsAsSet(t *testing.T) {
	w := newWorld(t)
	w.handler.Uploads.Limits = archive.Limits{Size: 220 << 20}
	c := w.client(w.admin)
	most, err := c.MaxUpload(t.Context())
	must(t, err)
	if most < 220<<20 {
		t.Fatalf("the server says that it takes %d bytes", most)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = c.Call(t.Context(), []string{"deploy", "--app", "blog"}, api.Extra{}, &client.Archive{Content: noise(210 << 20), Size: 210 << 20})
	if err == nil || !strings.Contains(err.Error(), "gzip") && !strings.Contains(err.Error(), "archive") || strings.Contains(err.Error(), "larger than") {
		t.Errorf("210 MB of noise: %v", err)
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 64<<20 {
		t.Errorf("210 MB took %d MB of memory", grown>>20)
	}
}

// The client knows before it sends anything, and a server refuses whatever comes
// anyway.
func TestAnUploadThatIsTooLarge(t *testing.T) {
	w := newWorld(t)
	w.handler.Uploads.Limits = archive.Limits{Size: 2 << 20}
	dir := w.project("hello")
	large, err := os.Create(filepath.Join(dir, "large"))
	must(t, err)
	_, err = io.Copy(large, noise(8<<20))
	must(t, err)
	must(t, large.Close())
	asked := 0
	w.server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/rpc" {
			asked++
		}
		w.handler.ServeHTTP(rw, r)
	})
	for _, args := range [][]string{{"deploy"}, {"plan"}} {
		if code, _, errs := w.hop3(dir, args...); code != api.ExitUsage || !strings.Contains(errs, "HOP3_MAX_ARCHIVE_SIZE") || asked > 0 {
			t.Errorf("%v: exit %d after %d calls, %s", args, code, asked, errs)
		}
	}
	for _, size := range []int64{3 << 20, 16 << 20} {
		_, err := w.client(w.admin).Call(t.Context(), []string{"deploy", "--app", "blog"}, api.Extra{}, &client.Archive{Content: noise(size), Size: size})
		if err == nil || !strings.Contains(err.Error(), "larger than") {
			t.Errorf("%d MB: %v", size>>20, err)
		}
	}
}
