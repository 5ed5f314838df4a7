package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/abilian/hop3/hop3"
)

// image is what an inspection tells of an image.
type image struct {
	ID     string `json:"Id"`
	Config struct {
		WorkingDir   string
		ExposedPorts map[string]struct{}
	}
}

func (e *Engine) image(ctx context.Context, name string) (i image, err error) {
	return i, e.api.get(ctx, "/images/"+name+"/json", nil, &i)
}

// repository is the name of an app's images: in lower case, as Docker wants it.
func (e *Engine) repository(app string) string {
	return e.prefix + "/" + hop3.HostLabel(app)
}

func (e *Engine) tag(app string, build int) string {
	return fmt.Sprintf("%s:v%d", e.repository(app), build)
}

func (e *Engine) tagImage(ctx context.Context, name, repository, tag string) error {
	return e.api.post(ctx, "/images/"+name+"/tag", url.Values{"repo": {repository}, "tag": {tag}}, nil, nil)
}

// tags returns the tags of an app's images by the builds they are for.
func (e *Engine) tags(ctx context.Context, app string) (map[int]string, error) {
	filters, err := json.Marshal(map[string][]string{"reference": {e.repository(app)}})
	if err != nil {
		return nil, err
	}
	var found []struct{ RepoTags []string }
	if err := e.api.get(ctx, "/images/json", url.Values{"filters": {string(filters)}}, &found); err != nil {
		return nil, fmt.Errorf("listing the images of '%s': %w", app, err)
	}
	tags := map[int]string{}
	for _, i := range found {
		for _, tag := range i.RepoTags {
			own, ok := strings.CutPrefix(tag, e.repository(app)+":v")
			if n, err := strconv.Atoi(own); ok && err == nil {
				tags[n] = tag
			}
		}
	}
	return tags, nil
}

// removeImage takes a tag away, and with the last one the image. One that a
// container runs stays, with its tag, for the next time.
func (e *Engine) removeImage(ctx context.Context, tag string) error {
	err := e.api.delete(ctx, "/images/"+tag, nil)
	if err == nil || refused(err, http.StatusNotFound) || refused(err, http.StatusConflict) {
		return nil
	}
	return fmt.Errorf("removing the image %s: %w", tag, err)
}

// removeVolumes forgets an app's volumes. What is in them is in the app's
// directory, which is not Docker's.
func (e *Engine) removeVolumes(ctx context.Context, app string) error {
	filters, err := json.Marshal(map[string][]string{"label": {labelHome + "=" + e.prefix, labelApp + "=" + app}})
	if err != nil {
		return err
	}
	var found struct{ Volumes []struct{ Name string } }
	if err := e.api.get(ctx, "/volumes", url.Values{"filters": {string(filters)}}, &found); err != nil {
		return fmt.Errorf("listing the volumes of '%s': %w", app, err)
	}
	var errs []error
	for _, v := range found.Volumes {
		if !strings.HasPrefix(v.Name, e.volumePrefix(app)) {
			continue
		}
		err := e.api.delete(ctx, "/volumes/"+v.Name, nil)
		if err != nil && !refused(err, http.StatusNotFound) && !refused(err, http.StatusConflict) {
			errs = append(errs, fmt.Errorf("removing the volume %s: %w", v.Name, err))
		}
	}
	return errors.Join(errs...)
}
