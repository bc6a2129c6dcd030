# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_thinroot_global_optspecs
    string join \n store= boot-dir= json q/quiet h/help V/version
end

function __fish_thinroot_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_thinroot_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_thinroot_using_subcommand
    set -l cmd (__fish_thinroot_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c thinroot -n "__fish_thinroot_needs_command" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_needs_command" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_needs_command" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_needs_command" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_needs_command" -s V -l version -d 'Print version'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "status" -d 'Show bases, layers, what boots, room and findings'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "init" -d 'Adopt the running host, or make an empty store'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "install" -d 'Make a host from an image, on an empty disk or in a file'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "base" -d 'Bases: the sealed, read-only volumes that each hold one image'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "layer" -d 'Layers: writable snapshots of a base that can be booted'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "update" -d 'Bring an image beside what runs, carry the state across, and arm it'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "apply" -d 'Restart the host into the layer that boots next'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "rollback" -d 'Arm another layer: go back, or forward again'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "resume" -d 'Finish a plan that was interrupted'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "abandon" -d 'Undo a plan that was interrupted'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "prune" -d 'Remove layers and bases that no rule keeps'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "check" -d 'Check that this host is as it must be'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "bless" -d 'Declare a booted layer good'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "health" -d 'Health checks of the running host'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "image" -d 'Images: what a publisher releases'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "kargs" -d 'Kernel arguments that survive updates'
complete -c thinroot -n "__fish_thinroot_needs_command" -f -a "state" -d 'State: how a layer differs from its base, and what updates made of it'
complete -c thinroot -n "__fish_thinroot_using_subcommand status" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand status" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand status" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand status" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand init" -l as -d 'Who the host is: the name that its update images have, and its version [default: by its os-release, or imgbased]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand init" -l loader -d 'The boot loader, where there are several' -r -f -a "grub\t''
systemd-boot\t''"
complete -c thinroot -n "__fish_thinroot_using_subcommand init" -l kernel -d 'Version of the kernel that the host\'s entry boots [default: the running one]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand init" -l packages -d 'A directory with packages, searched for originals of files that were changed' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand init" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand init" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand init" -l plan -d 'Show what would be done, and touch nothing'
complete -c thinroot -n "__fish_thinroot_using_subcommand init" -l undo -d 'Give an adopted host back as it was'
complete -c thinroot -n "__fish_thinroot_using_subcommand init" -l fetch -d 'Download packages whose files were changed, in the version that is installed'
complete -c thinroot -n "__fish_thinroot_using_subcommand init" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand init" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l as -d 'Who the image is, whatever it says itself' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l disk -d 'The disk; everything on it will be the host\'s' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l image -d 'Make a disk image in this file, which must not be there yet' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l size -d 'Size of the disk image, such as 16G' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l loader -d 'The boot loader' -r -f -a "grub\t''
systemd-boot\t''"
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l vg -d 'Name of the volume group' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l pool -d 'Name of the thin pool' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l root-size -d 'Size of the root, such as 8G [default: what the content needs and room to grow]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l fs -d 'File system of the root [default: ext4]' -r -f -a "ext4\t''
xfs\t''"
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l volume -d 'A volume that all layers share, such as /srv=20G; what the image has there is copied into it' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l overlay -d 'Put the files of this directory over the first layer: the host\'s name, keys, network' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l wipe -d 'Lose what the disk holds'
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l dry-run -d 'Print the exact layout, and do nothing'
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand install" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and not __fish_seen_subcommand_from list add verify remove" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and not __fish_seen_subcommand_from list add verify remove" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and not __fish_seen_subcommand_from list add verify remove" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and not __fish_seen_subcommand_from list add verify remove" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and not __fish_seen_subcommand_from list add verify remove" -s h -l help -d 'Print help'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and not __fish_seen_subcommand_from list add verify remove" -f -a "list" -d 'List the bases'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and not __fish_seen_subcommand_from list add verify remove" -f -a "add" -d 'Keep an image as a base'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and not __fish_seen_subcommand_from list add verify remove" -f -a "verify" -d 'Read bases again and compare them with what was recorded'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and not __fish_seen_subcommand_from list add verify remove" -f -a "remove" -d 'Remove a base that no layer needs'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from list" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from list" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from list" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from add" -l as -d 'Who the image is, whatever it says itself' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from add" -l size -d 'Size of the new base, such as 8G [default: what the content needs and room to grow]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from add" -l fs -d 'File system of the new base [default: that of the base it is written over, else ext4]' -r -f -a "ext4\t''
xfs\t''"
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from add" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from add" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from add" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from verify" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from verify" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from verify" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from verify" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from remove" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from remove" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from remove" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand base; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and not __fish_seen_subcommand_from list fork remove mount shell kernel pin" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and not __fish_seen_subcommand_from list fork remove mount shell kernel pin" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and not __fish_seen_subcommand_from list fork remove mount shell kernel pin" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and not __fish_seen_subcommand_from list fork remove mount shell kernel pin" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and not __fish_seen_subcommand_from list fork remove mount shell kernel pin" -s h -l help -d 'Print help'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and not __fish_seen_subcommand_from list fork remove mount shell kernel pin" -f -a "list" -d 'List the layers'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and not __fish_seen_subcommand_from list fork remove mount shell kernel pin" -f -a "fork" -d 'Make a layer from a base or from another layer'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and not __fish_seen_subcommand_from list fork remove mount shell kernel pin" -f -a "remove" -d 'Remove layers'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and not __fish_seen_subcommand_from list fork remove mount shell kernel pin" -f -a "mount" -d 'Mount a layer at a directory and leave it mounted'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and not __fish_seen_subcommand_from list fork remove mount shell kernel pin" -f -a "shell" -d 'Run a command, or a shell, with a layer as its root'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and not __fish_seen_subcommand_from list fork remove mount shell kernel pin" -f -a "kernel" -d 'Boot the running layer with a kernel that was installed on it'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and not __fish_seen_subcommand_from list fork remove mount shell kernel pin" -f -a "pin" -d 'Keep a base or layer whatever the rules say'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from list" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from list" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from list" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from fork" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from fork" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from fork" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from fork" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from fork" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from remove" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from remove" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from remove" -l no-way-back -d 'Also the one to go back to: where the default fails then, nothing is left to boot'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from remove" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from mount" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from mount" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from mount" -l read-only -d 'Mount it so that nothing can be written'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from mount" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from mount" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from mount" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from shell" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from shell" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from shell" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from shell" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from shell" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from kernel" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from kernel" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from kernel" -l remove -d 'Remove the entry instead; the last one of the layer stays'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from kernel" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from kernel" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from kernel" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from pin" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from pin" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from pin" -l remove -d 'Take the pin away'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from pin" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from pin" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand layer; and __fish_seen_subcommand_from pin" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand update" -l as -d 'Who the image is, whatever it says itself' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand update" -l from -d 'The layer whose state is carried [default: the booted one, else the default]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand update" -l size -d 'Size of the new base, such as 8G [default: what the content needs, and no less than now]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand update" -l fs -d 'File system of the new base [default: that of the base it is written over, else ext4]' -r -f -a "ext4\t''
xfs\t''"
complete -c thinroot -n "__fish_thinroot_using_subcommand update" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand update" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand update" -l check -d 'Only say whether there is something to do: exit code 10 if so'
complete -c thinroot -n "__fish_thinroot_using_subcommand update" -l plan -d 'Show everything that would happen, and do nothing'
complete -c thinroot -n "__fish_thinroot_using_subcommand update" -l stage-only -d 'Do everything but arm the new layer'
complete -c thinroot -n "__fish_thinroot_using_subcommand update" -l allow-downgrade -d 'Let an older version replace a newer one'
complete -c thinroot -n "__fish_thinroot_using_subcommand update" -l try-again -d 'Try an image once more that did not prove itself here'
complete -c thinroot -n "__fish_thinroot_using_subcommand update" -l apply -d 'Restart into it at once, by the cheapest way that is safe, as \'thinroot apply\' does'
complete -c thinroot -n "__fish_thinroot_using_subcommand update" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand update" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand update" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand apply" -l next-root -d 'Show a layer to systemd as the next root; for the unit that a soft reboot starts' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand apply" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand apply" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand apply" -l plan -d 'Say which way it would be and why, and do nothing'
complete -c thinroot -n "__fish_thinroot_using_subcommand apply" -l full -d 'Restart the machine, whatever would do'
complete -c thinroot -n "__fish_thinroot_using_subcommand apply" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand apply" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand apply" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand rollback" -l to -d 'The layer to boot [default: the one to go back to]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand rollback" -l from -d 'Whose changes to take along [default: the booted layer, else the armed one, else the default]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand rollback" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand rollback" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand rollback" -l carry-state -d 'Take along what was changed since, in a copy of the layer to go back to'
complete -c thinroot -n "__fish_thinroot_using_subcommand rollback" -l plan -d 'Show everything that would happen, and do nothing'
complete -c thinroot -n "__fish_thinroot_using_subcommand rollback" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand rollback" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand rollback" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand resume" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand resume" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand resume" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand resume" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand resume" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand abandon" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand abandon" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand abandon" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand abandon" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand abandon" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand prune" -l keep -d 'How many of the newest layers of each image name stay anyway' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand prune" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand prune" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand prune" -l plan -d 'Show what would be removed, and remove nothing'
complete -c thinroot -n "__fish_thinroot_using_subcommand prune" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand prune" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand check" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand check" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand check" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand check" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand bless" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand bless" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand bless" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand bless" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand bless" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and not __fish_seen_subcommand_from list check" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and not __fish_seen_subcommand_from list check" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and not __fish_seen_subcommand_from list check" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and not __fish_seen_subcommand_from list check" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and not __fish_seen_subcommand_from list check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and not __fish_seen_subcommand_from list check" -f -a "list" -d 'List the checks'
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and not __fish_seen_subcommand_from list check" -f -a "check" -d 'Run the checks'
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and __fish_seen_subcommand_from list" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and __fish_seen_subcommand_from list" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and __fish_seen_subcommand_from list" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and __fish_seen_subcommand_from check" -l limit -d 'How long each may take' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and __fish_seen_subcommand_from check" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and __fish_seen_subcommand_from check" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and __fish_seen_subcommand_from check" -l fall-back -d 'Give up a layer that fails a required check, and restart'
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and __fish_seen_subcommand_from check" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and __fish_seen_subcommand_from check" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand health; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and not __fish_seen_subcommand_from inspect build diff lint" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and not __fish_seen_subcommand_from inspect build diff lint" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and not __fish_seen_subcommand_from inspect build diff lint" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and not __fish_seen_subcommand_from inspect build diff lint" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and not __fish_seen_subcommand_from inspect build diff lint" -s h -l help -d 'Print help'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and not __fish_seen_subcommand_from inspect build diff lint" -f -a "inspect" -d 'Read an image and say what it is'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and not __fish_seen_subcommand_from inspect build diff lint" -f -a "build" -d 'Make a publishable image of a tree'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and not __fish_seen_subcommand_from inspect build diff lint" -f -a "diff" -d 'Say what is different in another image'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and not __fish_seen_subcommand_from inspect build diff lint" -f -a "lint" -d 'Look for what should not be published'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from inspect" -l as -d 'Who the image is, whatever it says itself' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from inspect" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from inspect" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from inspect" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from inspect" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from build" -l as -d 'Who the image is, whatever it says itself' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from build" -l previous -d 'The image that hosts have now' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from build" -l clamp-mtime -d 'No time of a path is later than this (seconds since 1970), so that two builds of the same sources are the same' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from build" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from build" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from build" -l force -d 'Also where lint finds errors'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from build" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from build" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from build" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from diff" -l old-as -d 'Who the old image is, whatever it says itself' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from diff" -l new-as -d 'Who the new image is, whatever it says itself' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from diff" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from diff" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from diff" -l paths -d 'List every path that differs, not only configuration'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from diff" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from diff" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from lint" -l as -d 'Who the image is, whatever it says itself' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from lint" -l previous -d 'The image that hosts have now' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from lint" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from lint" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from lint" -l strict -d 'Warnings count as errors'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from lint" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from lint" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand image; and __fish_seen_subcommand_from lint" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and not __fish_seen_subcommand_from show add remove reset" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and not __fish_seen_subcommand_from show add remove reset" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and not __fish_seen_subcommand_from show add remove reset" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and not __fish_seen_subcommand_from show add remove reset" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and not __fish_seen_subcommand_from show add remove reset" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and not __fish_seen_subcommand_from show add remove reset" -f -a "show" -d 'Show what a layer has and the next one gets'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and not __fish_seen_subcommand_from show add remove reset" -f -a "add" -d 'Add arguments to every next layer, in this order'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and not __fish_seen_subcommand_from show add remove reset" -f -a "remove" -d 'Remove arguments from every next layer'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and not __fish_seen_subcommand_from show add remove reset" -f -a "reset" -d 'Forget what was asked for'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from show" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from show" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from show" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from add" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from add" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from add" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from remove" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from remove" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from remove" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from remove" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from reset" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from reset" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from reset" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from reset" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand kargs; and __fish_seen_subcommand_from reset" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -s h -l help -d 'Print help'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -f -a "diff" -d 'Show what was changed here against the base'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -f -a "plan" -d 'Show what an image would make of the state, and do nothing'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -f -a "explain" -d 'Say why a path is as it is'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -f -a "conflicts" -d 'Show what the last update could not merge'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -f -a "resolve" -d 'Decide over a path that an update decided over'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -f -a "undo" -d 'Take back what an update, or a resolution after it, did to paths'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -f -a "catch-up" -d 'Take along what was changed after an update was staged'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -f -a "show" -d 'Show what an update carried, merged and set aside, and why'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -f -a "policy" -d 'The rules over the state: which hold, and which decides over a path'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -f -a "pin" -d 'Keep paths as they are here, whatever an image says'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -f -a "unpin" -d 'Let images change pinned paths again'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and not __fish_seen_subcommand_from diff plan explain conflicts resolve undo catch-up show policy pin unpin pins" -f -a "pins" -d 'List what is pinned'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from diff" -l layer -d 'The layer [default: the booted one, else the default]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from diff" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from diff" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from diff" -s u -l unified -d 'Also show how the texts differ'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from diff" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from diff" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from plan" -l as -d 'Who the image is, whatever it says itself' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from plan" -l from -d 'The layer whose state is carried [default: the booted one, else the default]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from plan" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from plan" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from plan" -l all -d 'Show every decision, also those where the image\'s version comes in without a loss'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from plan" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from plan" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from plan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from explain" -l layer -d 'The layer [default: the booted one, else the default]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from explain" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from explain" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from explain" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from explain" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from conflicts" -l layer -d 'The layer [default: the newest that an update made]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from conflicts" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from conflicts" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from conflicts" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from conflicts" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from conflicts" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from resolve" -l merged -d 'The content of this file; owner, mode and attributes stay' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from resolve" -l layer -d 'The layer [default: the newest that an update made]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from resolve" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from resolve" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from resolve" -l mine -d 'What this host had before the update'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from resolve" -l theirs -d 'What the image ships'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from resolve" -l edit -d 'Both texts in $VISUAL or $EDITOR, with marks where they clash'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from resolve" -l force -d 'Also where the path was changed in the layer since; what it is now is kept'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from resolve" -l plan -d 'Show what would be done, and do nothing'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from resolve" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from resolve" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from resolve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from undo" -l layer -d 'The layer [default: the newest that an update made]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from undo" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from undo" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from undo" -l all -d 'Everything that the update carried, and what was resolved since'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from undo" -l force -d 'Also where a path was changed in the layer since; what it is now is kept'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from undo" -l plan -d 'Show what would be done, and do nothing'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from undo" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from undo" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from undo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from catch-up" -l layer -d 'The staged layer [default: the armed one that was not tried yet]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from catch-up" -l limit -d 'Give up where looking takes longer than so many seconds; nothing is touched then' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from catch-up" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from catch-up" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from catch-up" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from catch-up" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from catch-up" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from show" -l path -d 'Only this path and what lies beneath it; may be given more than once' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from show" -l kept -d 'Print the kept content with this SHA-256 to stdout, and nothing else' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from show" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from show" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from show" -l all -d 'Show every decision, also those where the image\'s version came in without a loss'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from show" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from policy" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from policy" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from policy" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from policy" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from policy" -s h -l help -d 'Print help'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from policy" -f -a "test" -d 'Say which rule decides over paths, who made it, and what it means'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from policy" -f -a "show" -d 'List the rules that hold, by who made them'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from pin" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from pin" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from pin" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from pin" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from pin" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from unpin" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from unpin" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from unpin" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from unpin" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from unpin" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from pins" -l store -d 'The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]' -r
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from pins" -l boot-dir -d 'The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]' -r -F
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from pins" -l json -d 'Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from pins" -s q -l quiet -d 'Tell no story: print the answer and errors only'
complete -c thinroot -n "__fish_thinroot_using_subcommand state; and __fish_seen_subcommand_from pins" -s h -l help -d 'Print help (see more with \'--help\')'
