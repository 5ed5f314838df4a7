package addons

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/s3"
)

// s3Own is what a server of our own is run with. It is a file in the service's
// directory, which nobody but the service's user and we can read.
type s3Own struct {
	Kind      string `json:"kind"`
	Port      int    `json:"port"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	// Sidecar says that the disk has no extended attributes, where versitygw
	// otherwise keeps what belongs to an object.
	Sidecar bool `json:"sidecar,omitempty"`
}

const s3OwnFile = "hop3.json"

// startPatience is how long a server of our own may take until it answers.
const startPatience = 30 * time.Second

// s3SharedService is the service that addons share.
const s3SharedService = "s3-shared"

// Rest implements hop3.AddonSharer.
func (p *S3) Rest(ctx context.Context, addons []hop3.Addon) error {
	return rest(ctx, p.server, s3SharedService, addons)
}

// ownPlace returns a server of our own that runs and answers. It makes one
// where make says so and there is none.
func (p *S3) ownPlace(ctx context.Context, service string, make bool) (*s3Place, error) {
	p.own.Lock()
	defer p.own.Unlock()
	services := p.server.Services()
	if services == nil {
		return nil, noS3Program()
	}
	dir, err := services.Prepare(ctx, service)
	if err != nil {
		return nil, err
	}
	own, err := readOwn(dir)
	if errors.Is(err, fs.ErrNotExist) && make {
		own, err = p.newOwn(ctx, service, dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "Hop3's own S3 server %s has lost what it needs to start: %w", service, err).
			WithHint("Is all of the server's home there?")
	}
	if err != nil {
		return nil, err
	}
	place := &s3Place{service: service, kind: own.Kind, Server: s3.Server{
		Endpoint: "http://127.0.0.1:" + strconv.Itoa(own.Port), Region: s3.DefaultRegion, AccessKey: own.AccessKey, SecretKey: own.SecretKey, PathStyle: true,
	}}
	run, err := own.service(service, dir)
	if err != nil {
		return nil, err
	}
	if err := services.Start(ctx, run); err != nil {
		return nil, err
	}
	if err := place.open(); err != nil {
		return nil, err
	}
	return place, place.await(ctx, own.Port, dir)
}

// await waits until the server answers.
func (l *s3Place) await(ctx context.Context, port int, dir hop3.ServiceDir) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			conn.Close()
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return ctx.Err()
			}
			return hop3.Errorf(hop3.CodeUnavailable, "Hop3's own S3 server does not answer: %w", err).WithHint("Its log, %s, ends with: %s", dir.Log, lastLine(dir.Log))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// lastLine is what a log ends with.
func lastLine(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	line := bytes.TrimSpace(text)
	return string(line[bytes.LastIndexByte(line, '\n')+1:])
}

// newOwn settles how a server of our own is run.
func (p *S3) newOwn(ctx context.Context, service string, dir hop3.ServiceDir) (s3Own, error) {
	own := s3Own{AccessKey: "hop3-" + s3RandomHex(8), SecretKey: password()}
	for _, kind := range []string{kindVersitygw, kindMinIO} {
		if want := p.server.Setting("HOP3_S3_BACKEND"); want != "" && want != kind {
			continue
		}
		if _, err := exec.LookPath(kind); err == nil {
			own.Kind = kind
			break
		}
	}
	if own.Kind == "" {
		return s3Own{}, noS3Program()
	}
	services := p.server.Services()
	// As the service's user, whose they must be.
	if err := services.Run(ctx, service, nil, "mkdir", "-p", "objects", "users", "versions", "metadata"); err != nil {
		return s3Own{}, err
	}
	own.Sidecar = own.Kind == kindVersitygw && !hasAttributes(filepath.Join(dir.Data, "objects"))
	var err error
	if own.Port, err = services.FreePort(); err != nil {
		return s3Own{}, err
	}
	return own, own.write(dir)
}

func noS3Program() error {
	return hop3.Errorf(hop3.CodeUnavailable, "there is no S3 server: none is configured, and neither versitygw nor minio is installed").
		WithHint("Set S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY in the server's settings, or install the program versitygw (https://github.com/versity/versitygw), which Hop3 then runs.")
}

// hasAttributes tries whether files in a directory can have extended attributes
// of a user's.
func hasAttributes(dir string) bool {
	const name = "user.hop3"
	if err := unix.Setxattr(dir, name, []byte("1"), 0); err != nil {
		return false
	}
	return unix.Removexattr(dir, name) == nil
}

// service is how the server is run. Its administrator's key is in the
// environment, and not in the arguments, which everybody can see.
func (o s3Own) service(name string, dir hop3.ServiceDir) (hop3.Service, error) {
	program, err := exec.LookPath(o.Kind)
	if err != nil {
		return hop3.Service{}, hop3.Errorf(hop3.CodeUnavailable, "the program %s, which Hop3's own S3 server is, is not installed any more", o.Kind).
			WithHint("Install it again: the data is still there.")
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(o.Port))
	in := func(sub string) string { return filepath.Join(dir.Data, sub) }
	if o.Kind == kindMinIO {
		return hop3.Service{
			Name: name,
			Args: []string{program, "server", "--quiet", "--address", address, in("objects")},
			Env:  hop3.Env{"MINIO_ROOT_USER": o.AccessKey, "MINIO_ROOT_PASSWORD": o.SecretKey, "MINIO_BROWSER": "off", "HOME": dir.Data},
		}, nil
	}
	args := []string{program, "--port", address, "--iam-dir", in("users"), "--quiet", "posix", "--versioning-dir", in("versions")}
	if o.Sidecar {
		args = append(args[:len(args)-2], "--sidecar", in("metadata")) // which it has no versions with
	}
	return hop3.Service{
		Name: name, Args: append(args, in("objects")),
		Env: hop3.Env{"ROOT_ACCESS_KEY": o.AccessKey, "ROOT_SECRET_KEY": o.SecretKey},
	}, nil
}

func readOwn(dir hop3.ServiceDir) (own s3Own, err error) {
	text, err := os.ReadFile(filepath.Join(dir.Data, s3OwnFile))
	if err != nil {
		return own, err
	}
	return own, json.Unmarshal(text, &own)
}

// write writes the file whole or not at all.
func (o s3Own) write(dir hop3.ServiceDir) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir.Data, s3OwnFile+"-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir.Data, s3OwnFile))
}
