/* The embedded model as it lies on disk, on a page border of the read-only data. */
    .section .rodata
    .balign 4096
    .globl tenon_model_start
    .hidden tenon_model_start
tenon_model_start:
    .incbin TENON_MODEL_FILE
    .globl tenon_model_end
    .hidden tenon_model_end
tenon_model_end:
    .byte 0
    .section .note.GNU-stack,"",%progbits
