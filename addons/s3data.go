package addons

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"

	"github.com/abilian/hop3/hop3"
	"github.com/abilian/hop3/hop3/s3"
)

// Rotated returns the details with another key. Where apps share the server's,
// that is the one the settings have now.
func (p *S3) Rotated(ctx context.Context, a hop3.Addon) (hop3.AddonDetails, error) {
	place, err := p.placeOf(ctx, a.Details)
	if err != nil {
		return nil, err
	}
	if place.kind == kindGiven {
		return nil, hop3.Errorf(hop3.CodeInvalid, "the key of %s is one that you gave, and Hop3 can make no other", a.ID()).
			WithHint("Make another key where the bucket is, make an addon with it, attach it and promote it, and destroy this one: the bucket stays.")
	}
	d := maps.Clone(a.Details)
	delete(d, s3Shared)
	if err := p.giveKey(place, d); err != nil {
		return nil, err
	}
	if d[s3Shared] == "true" && d[s3SecretKey] == a.Details[s3SecretKey] {
		return nil, hop3.Errorf(hop3.CodeConflict, "%s has the key of the S3 server, which is the only one there is", a.ID()).
			WithHint("Make another one there, set S3_ACCESS_KEY and S3_SECRET_KEY of the server's settings to it, and rotate again.")
	}
	return d, nil
}

// Revoke ends the key that old has, and details have not.
func (p *S3) Revoke(ctx context.Context, a hop3.Addon, old hop3.AddonDetails) error {
	if old[s3AccessKey] == a.Details[s3AccessKey] || a.Details[s3Backend] == kindGiven {
		return nil
	}
	place, err := p.placeOf(ctx, a.Details)
	if err != nil {
		return err
	}
	return place.revoke(ctx, a.Details[s3Bucket], old)
}

// DumpSuffix returns ".tar".
func (*S3) DumpSuffix() string { return ".tar" }

// Dump writes the current objects of the bucket; see s3.Dump.
func (p *S3) Dump(ctx context.Context, a hop3.Addon, w io.Writer) (hop3.Inventory, error) {
	place, err := p.placeOf(ctx, a.Details)
	if err != nil {
		return nil, err
	}
	out := &dumpWriter{to: w}
	inventory, err := s3.Dump(ctx, place.client, a.Details[s3Bucket], out)
	if out.err != nil {
		return nil, out.err // not the S3 server's
	}
	return inventory, place.explain(err)
}

// dumpWriter remembers whose error it was.
type dumpWriter struct {
	to  io.Writer
	err error
}

func (w *dumpWriter) Write(b []byte) (int, error) {
	n, err := w.to.Write(b)
	if err != nil {
		w.err = err
	}
	return n, err
}

// Restore replaces what the bucket holds; see s3.Restore.
func (p *S3) Restore(ctx context.Context, a hop3.Addon, r io.Reader) error {
	place, err := p.placeOf(ctx, a.Details)
	if err != nil {
		return err
	}
	if there, err := place.client.BucketExists(ctx, a.Details[s3Bucket]); err != nil {
		return place.explain(err)
	} else if !there {
		return place.explain(minio.ErrorResponse{Code: "NoSuchBucket", Message: a.Details[s3Bucket]})
	}
	if place.kind == kindGiven {
		return place.explain(s3.RestoreWithin(ctx, place.client, a.Details[s3Bucket], r))
	}
	return place.explain(s3.Restore(ctx, place.client, a.Details[s3Bucket], place.Region, r))
}

// Inventory counts objects and bytes; see s3.Counter.
func (p *S3) Inventory(ctx context.Context, a hop3.Addon) (hop3.Inventory, error) {
	place, err := p.placeOf(ctx, a.Details)
	if err != nil {
		return nil, err
	}
	inventory, err := s3.Count(ctx, place.client, a.Details[s3Bucket])
	return inventory, place.explain(err)
}

// Actions are the commands of S3 addons.
func (p *S3) Actions() []hop3.AddonAction {
	return []hop3.AddonAction{
		{Name: "list", Aliases: []string{"ls"}, Summary: "List objects, and what has some below it", Usage: "[prefix]", Changes: true, Run: p.list},
		{Name: "info", Summary: "Show the server, the bucket and what it holds", Run: p.info},
	}
}

// listed is how many objects the action list shows.
const listed = 1000

func (p *S3) list(ctx context.Context, a hop3.Addon, args []string) (hop3.AddonReport, error) {
	var prefix string
	switch len(args) {
	case 0:
	case 1:
		prefix = args[0]
	default:
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "expected one prefix, such as photos/")
	}
	if !utf8.ValidString(prefix) || strings.ContainsRune(prefix, 0) {
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "no object has such a name: expected UTF-8 without a NUL")
	}
	place, err := p.placeOf(ctx, a.Details)
	if err != nil {
		return hop3.AddonReport{}, err
	}
	report := hop3.AddonReport{Headers: []string{"Name", "Bytes", "Changed"}}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for object := range place.client.ListObjectsIter(ctx, a.Details[s3Bucket], minio.ListObjectsOptions{Prefix: prefix}) {
		if object.Err != nil {
			return hop3.AddonReport{}, place.explain(object.Err)
		}
		if len(report.Rows) == listed {
			report.Text = fmt.Sprintf("These are the first %d. A prefix shows others.", listed)
			break
		}
		row := []string{object.Key, "", ""}
		if !strings.HasSuffix(object.Key, "/") || object.Size > 0 {
			row[1], row[2] = strconv.FormatInt(object.Size, 10), object.LastModified.UTC().Format(time.DateTime)
		}
		report.Rows = append(report.Rows, row)
	}
	if len(report.Rows) == 0 {
		report.Text = "There are no objects."
	}
	return report, ctx.Err()
}

func (p *S3) info(ctx context.Context, a hop3.Addon, args []string) (hop3.AddonReport, error) {
	if len(args) > 0 {
		return hop3.AddonReport{}, hop3.Errorf(hop3.CodeInvalid, "info takes nothing after the addon's name")
	}
	facts, err := p.Status(ctx, a)
	if err != nil {
		return hop3.AddonReport{}, err
	}
	place, err := p.placeOf(ctx, a.Details)
	if err != nil {
		return hop3.AddonReport{}, err
	}
	uploads := 0
	for upload := range place.client.ListIncompleteUploads(ctx, a.Details[s3Bucket], "", true) {
		if upload.Err != nil {
			break // not all servers have the list
		}
		uploads++
	}
	facts = append(facts, hop3.AddonFact{Property: "Uploads not completed", Value: strconv.Itoa(uploads)})
	report := hop3.AddonReport{Headers: []string{"Property", "Value"}}
	for _, f := range facts {
		report.Rows = append(report.Rows, []string{f.Property, f.Value})
	}
	return report, nil
}

var (
	_ hop3.AddonRotator = (*S3)(nil)
	_ hop3.AddonDumper  = (*S3)(nil)
	_ hop3.AddonActions = (*S3)(nil)
)
