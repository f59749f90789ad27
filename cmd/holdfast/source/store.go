package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

func settingsPath(dir string) string { return filepath.Join(dir, ".glusterfs", "holdfast.options") }

// LoadSettings reads what is kept for the volume in dir; none are kept before
// the first `holdfast set`.
func LoadSettings(dir string) (Settings, error) {
	path := settingsPath(dir)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Settings{}, nil
	}
	s := Settings{}
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		return nil, fmt.Errorf("settings of the volume (%s): %w", path, err)
	}
	return s, nil
}

// Save keeps the settings for the next mount of dir.
func (s Settings) Save(dir string) (err error) {
	path := settingsPath(dir)
	defer func() {
		if err != nil {
			err = fmt.Errorf("keep settings in %s: %w", path, err)
		}
	}()
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if serr := f.Sync(); err == nil {
		err = serr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(path + ".new")
		return err
	}
	return os.Rename(path+".new", path)
}
