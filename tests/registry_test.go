package tests

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
)

// registry is a registry of images that has one: the app, as a layer of its
// own. Of the real thing it does what a pull asks for:
// https://github.com/opencontainers/distribution-spec.
type registry struct {
	host  string // "127.0.0.1:40001", which Docker asks without TLS
	blobs map[string][]byte
	// manifest is the digest of the image.
	manifest string
	fails    atomic.Int32 // requests for the manifest of flaky
}

func startRegistry(t *testing.T, program string) *registry {
	t.Helper()
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "app", Mode: 0o755, Size: int64(len(text))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r := &registry{blobs: map[string][]byte{}}
	diff := r.add(layer.Bytes())
	config := r.addJSON(t, map[string]any{
		"architecture": "amd64", "os": "linux",
		"config": map[string]any{"Cmd": []string{"/app"}, "ExposedPorts": map[string]any{"5000/tcp": struct{}{}, "4000/tcp": struct{}{}}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{diff}},
	})
	describe := func(kind, digest string) map[string]any {
		return map[string]any{"mediaType": kind, "digest": digest, "size": len(r.blobs[digest])}
	}
	r.manifest = r.addJSON(t, map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config": describe("application/vnd.docker.container.image.v1+json", config),
		"layers": []any{describe("application/vnd.docker.image.rootfs.diff.tar", diff)},
	})
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.host = strings.TrimPrefix(server.URL, "http://")
	return r
}

const manifestType = "application/vnd.docker.distribution.manifest.v2+json"

func (r *registry) add(blob []byte) (digest string) {
	digest = fmt.Sprintf("sha256:%x", sha256.Sum256(blob))
	r.blobs[digest] = blob
	return digest
}

func (r *registry) addJSON(t *testing.T, value any) (digest string) {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return r.add(text)
}

// ServeHTTP serves any name of an image; of one named flaky the first two
// requests for its manifest fail.
func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	part := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	if len(part) < 4 || part[0] != "v2" {
		return // that it speaks the protocol
	}
	name, kind, digest := part[1], part[len(part)-2], part[len(part)-1]
	if kind == "manifests" {
		if name == "flaky" && r.fails.Add(1) <= 2 {
			http.Error(w, "", http.StatusServiceUnavailable)
			return
		}
		if digest = r.manifest; !strings.HasPrefix(part[len(part)-1], "sha256:") || part[len(part)-1] == digest {
			w.Header().Set("Content-Type", manifestType)
		}
	}
	blob, ok := r.blobs[digest]
	if !ok {
		http.NotFound(w, req)
		return
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Content-Length", fmt.Sprint(len(blob)))
	if req.Method != http.MethodHead {
		_, _ = w.Write(blob)
	}
}
