package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/abilian/hop3/hop3"
)

// SFTPOptions are as whom copies go to a server by SFTP.
type SFTPOptions struct {
	// HostKey is the server's public key, as ssh-keyscan prints it: no other
	// server gets a backup.
	HostKey  string
	Key      string // file of a private key
	Password string
}

const (
	// sftpPatience is how long a connection may be silent.
	sftpPatience = 2 * time.Minute
	sftpPartial  = ".part"
)

type sftpTarget struct {
	user, address, dir string
	options            SFTPOptions
	hostKey            ssh.PublicKey
}

// newSFTP returns the target sftp://user@host/path.
func newSFTP(u *url.URL, o SFTPOptions) (Target, error) {
	t := &sftpTarget{user: u.User.Username(), address: u.Host, dir: path.Clean("/" + u.Path), options: o}
	if u.Port() == "" {
		t.address = net.JoinHostPort(u.Hostname(), "22")
	}
	if _, has := u.User.Password(); has || t.user == "" {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the storage of backups wants a user, and no password, as sftp://user@host/path").
			WithHint("A password belongs into BACKUP_SFTP_PASSWORD.")
	}
	if o.Key == "" && o.Password == "" {
		return nil, hop3.Errorf(hop3.CodeInvalid, "The storage of backups is sftp, and has no key").WithHint("Set BACKUP_SFTP_KEY to the file of a private key, or BACKUP_SFTP_PASSWORD.")
	}
	var err error
	if t.hostKey, err = parseHostKey(o.HostKey); err != nil {
		return nil, hop3.Errorf(hop3.CodeInvalid, "BACKUP_SFTP_HOST_KEY is not the public key of a server").
			WithHint("`ssh-keyscan -t ed25519 %s` prints it; compare it with what the server's owner says.", u.Hostname())
	}
	return t, nil
}

// parseHostKey reads a public key, with or without the names before it.
func parseHostKey(text string) (ssh.PublicKey, error) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(text))
	if err != nil {
		_, _, key, _, _, err = ssh.ParseKnownHosts([]byte(text))
	}
	return key, err
}

// URL implements Target.
func (t *sftpTarget) URL() string {
	return strings.TrimSuffix((&url.URL{Scheme: "sftp", User: url.User(t.user), Host: t.address, Path: t.dir}).String(), "/")
}

func (t *sftpTarget) path(name string) string { return path.Join(t.dir, name) }

func (t *sftpTarget) auth() (ssh.AuthMethod, error) {
	if t.options.Key == "" {
		return ssh.Password(t.options.Password), nil
	}
	text, err := os.ReadFile(t.options.Key)
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "the key of BACKUP_SFTP_KEY cannot be read: %w", err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil { // which is not told: it may quote the file
		return nil, hop3.Errorf(hop3.CodeUnavailable, "the file of BACKUP_SFTP_KEY is no private key without a passphrase")
	}
	return ssh.PublicKeys(key), nil
}

// patient is a connection that is given up when it is silent for too long.
type patient struct{ net.Conn }

func (c patient) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(sftpPatience)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c patient) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(sftpPatience)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// session is a connection of its own for one operation, closed by its context
// too.
type session struct {
	*sftp.Client
	conn *ssh.Client
	stop func() bool
}

func (s *session) Close() error {
	s.stop()
	// The connection is thrown away, whatever it says to that.
	_ = s.Client.Close()
	return s.conn.Close()
}

func (t *sftpTarget) connect(ctx context.Context) (*session, error) {
	auth, err := t.auth()
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: 30 * time.Second}
	raw, err := dialer.DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, hop3.Errorf(hop3.CodeUnavailable, "the SFTP server %s cannot be reached: %w", t.address, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	conn, chans, reqs, err := ssh.NewClientConn(patient{raw}, t.address, &ssh.ClientConfig{
		User: t.user, Auth: []ssh.AuthMethod{auth}, HostKeyCallback: ssh.FixedHostKey(t.hostKey), HostKeyAlgorithms: hostKeyAlgorithms(t.hostKey), Timeout: 30 * time.Second,
	})
	if err != nil {
		stop()
		return nil, errors.Join(t.refused(err), raw.Close())
	}
	client := ssh.NewClient(conn, chans, reqs)
	files, err := sftp.NewClient(client)
	if err != nil {
		stop()
		return nil, errors.Join(hop3.Errorf(hop3.CodeUnavailable, "the server %s does not do SFTP: %w", t.address, err), client.Close())
	}
	return &session{files, client, stop}, nil
}

// hostKeyAlgorithms are those by which a server may show this key.
func hostKeyAlgorithms(key ssh.PublicKey) []string {
	if key.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{key.Type()}
}

func (t *sftpTarget) refused(err error) error {
	if strings.Contains(err.Error(), "unable to authenticate") {
		return hop3.Errorf(hop3.CodeUnavailable, "the SFTP server %s refuses the server's key or password", t.address).WithHint("Check BACKUP_SFTP_KEY, or BACKUP_SFTP_PASSWORD.")
	}
	if strings.Contains(err.Error(), "host key mismatch") || strings.Contains(err.Error(), "no common algorithm for host key") {
		return hop3.Errorf(hop3.CodeUnavailable, "the SFTP server %s has another key than BACKUP_SFTP_HOST_KEY", t.address).
			WithHint("It may be another server: nothing was sent. When its key has changed for a reason, change the setting.")
	}
	return hop3.Errorf(hop3.CodeUnavailable, "the SFTP server %s does not work: %w", t.address, err)
}

// Begin implements Target.
func (t *sftpTarget) Begin(ctx context.Context) error {
	s, err := t.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := s.MkdirAll(t.dir); err != nil {
		return hop3.Errorf(hop3.CodeUnavailable, "the directory %s cannot be made on the SFTP server: %w", t.dir, err)
	}
	return nil
}

// Put implements Target. The file has another name until it is whole; what an
// earlier attempt left of it is gone on with.
func (t *sftpTarget) Put(ctx context.Context, name, file string, sent func(bytes int64)) error {
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	s, err := t.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	to := t.path(name)
	if err := s.MkdirAll(path.Dir(to)); err != nil {
		return fmt.Errorf("making the directory: %w", err)
	}
	out, err := s.OpenFile(to+sftpPartial, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	from, err := t.resumeAt(out, in)
	if err == nil && sent != nil {
		sent(from)
	}
	if err == nil {
		_, err = in.Seek(from, io.SeekStart)
	}
	if err == nil {
		_, err = out.Seek(from, io.SeekStart)
	}
	if err == nil {
		_, err = io.CopyBuffer(struct{ io.Writer }{out}, &stoppable{ctx, in, sent}, make([]byte, 256<<10))
	}
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	if err := s.PosixRename(to+sftpPartial, to); err != nil {
		// Not every server does that over a file that is there.
		_ = s.Remove(to)
		return s.Rename(to+sftpPartial, to)
	}
	return nil
}

// resumeAt returns how much of a file is there already. What is longer than
// the file is none of it.
func (t *sftpTarget) resumeAt(out *sftp.File, in *os.File) (int64, error) {
	there, err := out.Stat()
	if err != nil {
		return 0, err
	}
	whole, err := in.Stat()
	if err != nil {
		return 0, err
	}
	if there.Size() > whole.Size() {
		return 0, out.Truncate(0)
	}
	return there.Size(), nil
}

// Get implements Target.
func (t *sftpTarget) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	s, err := t.connect(ctx)
	if err != nil {
		return nil, err
	}
	f, err := s.Open(t.path(name))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &remoteFile{f, s}, nil
}

// remoteFile closes its connection with it.
type remoteFile struct {
	*sftp.File
	s *session
}

func (f *remoteFile) Close() error { return errors.Join(f.File.Close(), f.s.Close()) }

// Remove implements Target.
func (t *sftpTarget) Remove(ctx context.Context, dir string, first []string) error {
	s, err := t.connect(ctx)
	if err != nil {
		return err
	}
	defer s.Close()
	for _, name := range first {
		if err := s.Remove(t.path(path.Join(dir, name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if dir == "" {
		return nil
	}
	if err := s.RemoveAll(t.path(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
