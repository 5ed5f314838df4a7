package backup_test

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/backup"
	"github.com/abilian/hop3/hop3/hop3test"
)

// wire is a way to a server that can be cut.
type wire struct {
	address string
	left    atomic.Int64 // bytes that go up before it is cut; it counts down
	sent    atomic.Int64
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w := &wire{address: l.Addr().String()}
	w.left.Store(1 << 60)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { w.carry(conn, to) })
		}
	})
	t.Cleanup(func() {
		must(t, l.Close())
		all.Wait()
	})
	return w
}

func (w *wire) carry(conn net.Conn, to string) {
	defer conn.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	var all sync.WaitGroup
	defer all.Wait()
	all.Go(func() {
		_, _ = io.Copy(conn, server) // its end is that of the connection
		conn.Close()
	})
	defer server.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := conn.Read(b)
		if err != nil || w.left.Add(-int64(n)) < 0 {
			return
		}
		w.sent.Add(int64(n))
		if _, err := server.Write(b[:n]); err != nil {
			return
		}
	}
}

// bucket makes a bucket, and returns a wire to its server.
func bucket(t *testing.T, s hop3test.S3, name string) *wire {
	t.Helper()
	u, err := url.Parse(s.Endpoint)
	must(t, err)
	client, err := minio.New(u.Host, &minio.Options{Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, "")})
	must(t, err)
	must(t, client.MakeBucket(t.Context(), name, minio.MakeBucketOptions{}))
	return newWire(t, u.Host)
}

func (w *wire) target(t *testing.T, bucket, key, secret string) backup.Target {
	t.Helper()
	target, err := backup.ParseTarget("s3://"+bucket+"/some/where", backup.S3Options{Endpoint: "http://" + w.address, Region: "us-east-1", AccessKey: key, SecretKey: secret}, backup.SFTPOptions{})
	must(t, err)
	return target
}

func TestCopiesByS3(t *testing.T) {
	t.Parallel()
	hop3test.StartS3(t, func(t *testing.T, s3 hop3test.S3) {
		w := bucket(t, s3, "backups")
		home := t.TempDir()
		const size = 40 << 20 // three pieces
		b := hop3.Backup{ID: id, App: "blog"}
		store := func() *backup.Store {
			return open(t, backup.Options{Dir: home, Target: w.target(t, "backups", s3.AccessKey, s3.SecretKey)})
		}
		dir, _ := made(t, store(), noise(t, size))

		// The way breaks in the third piece, and stays broken: the server ends.
		w.left.Store(35 << 20)
		if _, err := store().Upload(t.Context(), b, nil); err == nil {
			t.Fatal("a broken way copies it")
		}
		if _, err := store().Fetch(t.Context(), hop3.Backup{ID: "20260101_000000_abcdef", App: "blog"}, nil); err == nil {
			t.Error("what is not there is fetched")
		}
		w.left.Store(1 << 60)
		before := w.sent.Load()
		at, err := store().Upload(t.Context(), b, nil)
		must(t, err)
		if again := w.sent.Load() - before; again > 20<<20 {
			t.Errorf("%d of %d bytes were sent again", again, size)
		}
		if at != "s3://backups/some/where/apps/blog/"+id {
			t.Errorf("it is at %s", at)
		}

		must(t, os.RemoveAll(dir))
		fetched, err := store().Fetch(t.Context(), b, nil)
		must(t, err)
		r, err := store().Open(fetched)
		must(t, err)
		must(t, r.Check(t.Context()))
		must(t, store().RemoveRemote(t.Context(), b))
		must(t, store().Remove(b))
		if _, err := store().Fetch(t.Context(), b, nil); hop3.CodeOf(err) != hop3.CodeNotFound {
			t.Errorf("what was removed is fetched: %v", err)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("something is left of it: %v", err)
		}
	})
}

func TestWrongKeysOfS3(t *testing.T) {
	t.Parallel()
	s3 := hop3test.StartVersitygw(t)
	w := bucket(t, s3, "backups")
	for name, tt := range map[string]struct{ bucket, key, secret, says string }{
		"the secret": {"backups", s3.AccessKey, "wrong-secret", "refuses the server's keys"},
		"the key":    {"backups", "nobody", "wrong-secret", "refuses the server's keys"},
		"the bucket": {"elsewhere", s3.AccessKey, s3.SecretKey, "there is no bucket 'elsewhere'"},
	} {
		s := open(t, backup.Options{Dir: t.TempDir(), Target: w.target(t, tt.bucket, tt.key, tt.secret)})
		made(t, s, noise(t, 1000))
		_, err := s.Upload(t.Context(), hop3.Backup{ID: id, App: "blog"}, nil)
		if hop3.CodeOf(err) != hop3.CodeUnavailable || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
